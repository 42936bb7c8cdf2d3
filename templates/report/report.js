// The report reads without this; it only adds pointing, finding, folding and the choice of light or dark.
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);

  const theme = one("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const root = document.documentElement.style;
    const dark = root.colorScheme ? root.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.colorScheme = dark ? "light" : "dark";
  });

  const tip = one("tip");
  const line = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  for (const bar of all(".bar")) {
    bar.querySelector("title").remove();
    bar.addEventListener("pointermove", (event) => {
      const { name, says, id } = bar.dataset;
      tip.replaceChildren(line("b", name), line("span", says), line("code", id));
      tip.hidden = false;
      const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
      const below = event.clientY + 18;
      const top = below + tip.offsetHeight < innerHeight ? below : event.clientY - tip.offsetHeight - 12;
      tip.style.left = `${left}px`;
      tip.style.top = `${top}px`;
    });
    bar.addEventListener("pointerleave", () => { tip.hidden = true; });
    bar.addEventListener("click", () => {
      const step = one(bar.dataset.id);
      if (!step) return;
      step.removeAttribute("data-away");
      step.closest(".playbook").removeAttribute("data-away");
      step.open = true;
      step.scrollIntoView({ block: "center" });
    });
  }

  const filter = one("filter");
  if (filter) {
    filter.hidden = false;
    filter.addEventListener("submit", (event) => event.preventDefault());
    const steps = all(".step").map((step) => ({ step, text: step.textContent.toLowerCase() }));
    const away = (element, is) => element.toggleAttribute("data-away", is);
    const sift = () => {
      const words = one("find").value.toLowerCase().split(/\s+/).filter(Boolean);
      const quiet = one("quiet").checked || words.length > 0;
      let shown = 0;
      for (const { step, text } of steps) {
        const is = (quiet || !step.classList.contains("unchanged")) && words.every((word) => text.includes(word));
        away(step, !is);
        shown += is;
      }
      for (const playbook of all(".playbook")) away(playbook, !playbook.querySelector(".step:not([data-away])"));
      one("found").textContent = `${shown} of ${steps.length} steps`;
    };
    one("find").addEventListener("input", sift);
    one("quiet").addEventListener("change", sift);
    one("unfold").addEventListener("click", (event) => {
      const open = event.target.textContent === "Unfold all";
      all("details.step").forEach((step) => { step.open = open; });
      event.target.textContent = open ? "Fold all" : "Unfold all";
    });
    sift();
  }
})();
