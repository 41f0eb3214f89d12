// Sorting: a press on a column's head sorts by it, best first; a second turns that round; a third restores the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
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
      body.append(...(order ? sorted(column, order === "ascending") : original));
    });
  });
}

// Which group of columns is shown.
for (const choice of document.querySelectorAll("select[data-columns]")) {
  const apply = () => { document.getElementById(choice.dataset.columns).dataset.show = choice.value; };
  choice.addEventListener("change", apply);
  apply();
}
