"use strict";
(() => {
  const place = document.getElementById("image-rows");
  // Without this script the rows scroll; with it they come page by page.
  place.classList.remove("rows");
  for (const name of ["tabindex", "role", "aria-label"]) place.removeAttribute(name);
  const grid = new DataTable("#image-table", {
    autoWidth: false,
    order: [],
    pageLength: 25,
    lengthMenu: [10, 25, 100],
    layout: { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" },
    language: { search: "Search", lengthMenu: "_MENU_ rows a page", info: "_START_ to _END_ of _TOTAL_ rows" },
  });
  const filters = document.getElementById("filters");
  filters.hidden = false;
  for (const select of filters.querySelectorAll("select"))
    select.addEventListener("change", () =>
      grid.column(Number(select.dataset.column)).search(select.value, { exact: select.value !== "" }).draw());
  // What is folded is read on paper too.
  window.addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });
})();
