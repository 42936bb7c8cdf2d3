//! Makes throw-away machines and hands back hosts.
