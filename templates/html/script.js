(() => {
  const all = (what) => [...document.querySelectorAll(what)];
  const reach = () => all(".scroll, pre").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex");
  });
  const button = document.querySelector("#open-all");
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-pressed") !== "true";
      all("#derivation details, #theorems details").forEach((d) => { d.open = open; });
      button.setAttribute("aria-pressed", String(open));
      reach();
    });
  }
  const unfold = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let box = target; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true);
  addEventListener("beforeprint", () => all("details:not(.code)").forEach((d) => { d.open = true; }));
  unfold();
  reach();
})();
