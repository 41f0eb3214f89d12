// A slider over strips of digits. Each strip's picture holds all of its frames below each other; one is in sight.
for (const gallery of document.querySelectorAll(".gallery")) {
  const content = JSON.parse(gallery.querySelector("script").textContent);
  const tracks = new Map(content.tracks);
  const track = gallery.querySelector(".track");
  const place = gallery.querySelector(".place");
  const where = gallery.querySelector(".where");
  const list = gallery.querySelector(".strips");
  const strips = [...list.children].map((item, i) => ({ item, ...content.strips[i] }));

  const show = ({ item, frames, steps }) => {
    const step = steps[track.value]?.[place.value] ?? null;
    item.classList.toggle("absent", step === null);
    if (step === null) return -Infinity;
    const [frame, words, value] = step;
    const sprite = item.querySelector(".sprite");
    sprite.style.objectPosition = `0 ${frames > 1 ? (100 * frame) / (frames - 1) : 0}%`;
    sprite.alt = `${item.querySelector("b").textContent}: ${track.value}, ${where.value}. ${words}`;
    item.querySelector(".said").textContent = words;
    return item.classList.contains("pinned") ? Infinity : value ?? -Infinity;
  };

  const apply = () => {
    const places = tracks.get(track.value);
    place.max = places.length - 1; // takes the slider along where it stood further
    where.value = places[place.value];
    place.setAttribute("aria-valuetext", where.value);
    const ranks = new Map(strips.map((strip) => [strip, show(strip)]));
    const ranked = [...strips].sort((a, b) => (ranks.get(b) > ranks.get(a)) - (ranks.get(b) < ranks.get(a)));
    list.append(...ranked.map((strip) => strip.item));
  };

  track.addEventListener("change", apply);
  place.addEventListener("input", apply);
  apply();
}
