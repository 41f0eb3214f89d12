// Sorting: a press on a column's head ranks all rows by it, best first; a second turns that round; a third restores the
// groups.
for (const table of document.querySelectorAll("table.sortable")) {
  const bodies = [...table.tBodies];
  const original = [...table.querySelectorAll("tr[data-text]")];
  const home = new Map(original.map((row) => [row, row.parentNode]));
  const heads = [...table.tHead.rows[0].cells];

  const sorted = (column, upwards) => {
    const value = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what has no value is last either way
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return upwards ? order : -order;
    };
    return [...original].sort(compare); // stable: equals keep their order
  };

  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.addEventListener("click", () => {
      const first = button.dataset.first === "up" ? "ascending" : "descending";
      const second = first === "ascending" ? "descending" : "ascending";
      const next = { [first]: second, [second]: null }[head.ariaSort];
      const order = next === undefined ? first : next;
      for (const each of heads) each.removeAttribute("aria-sort");
      if (order) head.ariaSort = order;
      table.toggleAttribute("data-ranked", Boolean(order));
      if (order) bodies[0].append(...sorted(column, order === "ascending"));
      else for (const row of original) home.get(row).append(row);
    });
  });
}

// Which group of columns is shown.
for (const choice of document.querySelectorAll("select[data-columns]")) {
  const apply = () => { document.getElementById(choice.dataset.columns).dataset.show = choice.value; };
  choice.addEventListener("change", apply);
  apply();
}
