// Sorts a table by the column whose heading is clicked; rows with an empty cell stay at the end.
element.addEventListener("click", (event) => {
  const heading = event.target.closest("th button")?.parentElement;
  if (!heading) return;
  const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const body = heading.closest("table").tBodies[0];
  const text = (row) => row.cells[heading.cellIndex].textContent;
  const order = new Intl.Collator(undefined, { numeric: true });
  const number = heading.classList.contains("osteo-number");
  const compare = (a, b) => (number ? parseFloat(a) - parseFloat(b) : order.compare(a, b));
  const rows = [...body.rows];
  rows.sort((one, other) => !text(one) - !text(other) || sign * compare(text(one), text(other)));
  body.append(...rows);
});
