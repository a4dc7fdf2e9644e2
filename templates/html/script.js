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
  const paper = 680;  // the width of a sheet between its margins
  addEventListener("beforeprint", () => {
    all("details:not(.code)").forEach((d) => { d.open = true; });
    all(".scroll > *").forEach((inner) => {
      if (inner.scrollWidth > paper) inner.style.zoom = paper / inner.scrollWidth;
    });
  });
  addEventListener("afterprint", () => all(".scroll > *").forEach((inner) => { inner.style.zoom = ""; }));
  const ends = (name) => all(".graph .line").filter((line) => line.dataset.ends.split(" ").includes(name));
  all(".graph .node").forEach((node) => {
    const mark = (on) => () => ends(node.dataset.name).forEach((line) => line.classList.toggle("near", on));
    for (const [event, on] of [["pointerenter", true], ["focus", true], ["pointerleave", false], ["blur", false]])
      node.addEventListener(event, mark(on));
  });
  unfold();
  reach();
})();
