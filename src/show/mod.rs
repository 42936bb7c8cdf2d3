//! Events and plans in; text, JSON and HTML out. Never asks anything.
