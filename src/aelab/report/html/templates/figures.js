// A figure enlarged: the same picture in a dialog, by arrow keys on to the next.
const large = document.getElementById("large");
if (large) {
  const figures = [...document.querySelectorAll("figure")];
  const picture = large.querySelector("img");
  const whole = document.getElementById("whole");
  let at = 0;

  const show = (index) => {
    at = (index + figures.length) % figures.length;
    const shown = figures[at].querySelector("img");
    picture.src = shown.src;
    picture.alt = shown.alt;
    document.getElementById("large-title").textContent = figures[at].querySelector("b").textContent;
    if (!large.open) large.showModal();
  };

  figures.forEach((figure, index) => figure.querySelector("button").addEventListener("click", () => show(index)));
  document.getElementById("previous").addEventListener("click", () => show(at - 1));
  document.getElementById("next").addEventListener("click", () => show(at + 1));
  whole.addEventListener("click", () => {
    const actual = large.classList.toggle("actual");
    whole.setAttribute("aria-pressed", String(!actual));
  });
  large.addEventListener("keydown", (event) => {
    if (large.classList.contains("actual")) return; // there the arrows scroll
    if (event.key === "ArrowLeft") show(at - 1);
    if (event.key === "ArrowRight") show(at + 1);
  });
  large.addEventListener("click", (event) => { if (event.target === large) large.close(); }); // beside it
  large.addEventListener("close", () => figures[at].querySelector("button").focus());
}
