"use strict";
// The table is whole without this; here its headers become buttons that sort it.
for (const header of document.querySelectorAll("table.sortable thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  header.append(button);
  button.addEventListener("click", () => {
    const ascending = header.ariaSort ? header.ariaSort !== "ascending" : !("falling" in header.dataset);
    for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
    header.ariaSort = ascending ? "ascending" : "descending";
    const body = header.closest("table").tBodies[0];
    const value = (row) => row.cells[header.cellIndex].dataset.value ?? row.cells[header.cellIndex].textContent;
    const compare = "text" in header.dataset
      ? (a, b) => value(a).localeCompare(value(b))
      : (a, b) => value(a) - value(b);
    const rows = Array.from(body.rows).sort((a, b) => (ascending ? compare(a, b) : compare(b, a)));
    body.append(...rows);
  });
}
