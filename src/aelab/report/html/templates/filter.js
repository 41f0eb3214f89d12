"use strict";

// A box that hides what does not hold all of its words, and says how many are left.
for (const box of document.querySelectorAll("input[data-filters]")) {
  const all = [...document.querySelectorAll(box.dataset.filters)];
  const said = document.querySelector(`output[for="${box.id}"]`);
  const apply = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const each of all) {
      const text = each.dataset.text.toLowerCase();
      each.hidden = !words.every((word) => text.includes(word));
    }
    said.textContent = words.length ? `${all.filter((each) => each.checkVisibility()).length} shown` : "";
  };
  box.addEventListener("input", apply);
  addEventListener("change", apply); // of what else is shown and hidden
  apply(); // a browser may keep the words when the page is loaded again
}

// What is closed on the screen is open on paper.
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details:not([open])")) {
    each.open = true;
    each.dataset.printed = "";
  }
});
addEventListener("afterprint", () => {
  for (const each of document.querySelectorAll("details[data-printed]")) {
    each.open = false;
    delete each.dataset.printed;
  }
});
