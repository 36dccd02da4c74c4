"use strict";
(() => {
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

  // Colour scheme: that of the system until the button is used.
  const root = document.documentElement;
  const button = document.getElementById("scheme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.scheme ? root.dataset.scheme === "dark" : system.matches);
  const tell = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => { root.dataset.scheme = isDark() ? "light" : "dark"; tell(); });
  system.addEventListener("change", tell);
  button.hidden = false;
  tell();

  // Hints: what the browser would show late and small.
  const hint = document.getElementById("hint");
  const show = (text, x, y) => {
    hint.textContent = text;
    hint.hidden = false;
    const { width, height } = hint.getBoundingClientRect();
    const left = Math.min(Math.max(8, x + 14), window.innerWidth - width - 8);
    const top = y + 18 + height > window.innerHeight ? y - height - 12 : y + 18;
    hint.style.left = `${left}px`;
    hint.style.top = `${Math.max(4, top)}px`;
  };
  const hide = () => { hint.hidden = true; };
  for (const title of all("svg title")) {
    const owner = title.parentNode;
    owner.dataset.hint = title.textContent.replace(/\s+/g, " ").trim();
    title.remove();
  }
  document.addEventListener("pointermove", (event) => {
    const owner = event.target.closest && event.target.closest("[data-hint]");
    if (owner) show(owner.dataset.hint, event.clientX, event.clientY);
    else if (!(event.target.closest && event.target.closest(".points"))) hide();
  });
  document.addEventListener("scroll", hide, true);

  // The nearest point of the projection.
  for (const svg of all("svg.points[data-points]")) {
    const points = JSON.parse(svg.dataset.points);
    const classes = JSON.parse(svg.dataset.classes);
    const sets = JSON.parse(svg.dataset.sets || "[]");
    const marker = svg.querySelector(".marker");
    const away = () => { marker.setAttribute("cx", -20); marker.setAttribute("cy", -20); };
    svg.addEventListener("pointermove", (event) => {
      const matrix = svg.getScreenCTM();
      if (!matrix) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      let nearest = -1;
      let least = 18 * 18;
      for (let i = 0; i < points.x.length; i += 1) {
        const square = (points.x[i] / 10 - at.x) ** 2 + (points.y[i] / 10 - at.y) ** 2;
        if (square < least) { least = square; nearest = i; }
      }
      if (nearest < 0) { away(); hide(); return; }
      marker.setAttribute("cx", points.x[nearest] / 10);
      marker.setAttribute("cy", points.y[nearest] / 10);
      const id = points.id && points.id[nearest] ? ` (${points.id[nearest]})` : "";
      const lines = points.row ? [`row ${points.row[nearest]}${id}`] : [];
      if (points.set) lines[0] += ` of ${sets[points.set[nearest]]}`;
      if (points.class) lines.push(`class ${classes[points.class[nearest]]}`);
      if (points.silhouette) lines.push(`silhouette ${String(points.silhouette[nearest]).replace("-", "\u2212")}`);
      show(lines.join("\n"), event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", () => { away(); hide(); });
  }

  // Tables: a click on a heading sorts, a second click turns the order round.
  const number = (text) => {
    const plain = text.replace(/[\s,%]/g, "").replace(/\u2212/g, "-");
    return plain === "" || plain === "\u2013" ? NaN : Number(plain);
  };
  const text = new Intl.Collator(undefined, { numeric: true });
  const sort = (table, column, descending) => {
    const body = table.tBodies[0];
    const numeric = table.tHead.rows[0].cells[column].classList.contains("n");
    const keyed = Array.from(body.rows, (row, place) => {
      const content = row.cells[column].textContent.trim();
      return { row, place, key: numeric ? number(content) : content };
    });
    const sign = descending ? -1 : 1;
    keyed.sort((a, b) => {
      if (!numeric) return sign * text.compare(a.key, b.key) || a.place - b.place;
      // What is undefined comes last either way.
      if (Number.isNaN(a.key) || Number.isNaN(b.key)) return Number.isNaN(a.key) - Number.isNaN(b.key) || a.place - b.place;
      return sign * (a.key - b.key) || a.place - b.place;
    });
    body.append(...keyed.map((entry) => entry.row));
  };
  for (const table of all("table.sortable")) {
    const headings = Array.from(table.tHead.rows[0].cells);
    headings.forEach((heading, column) => {
      const control = document.createElement("button");
      control.type = "button";
      control.append(...heading.childNodes);
      heading.append(control);
      control.addEventListener("click", () => {
        const descending = heading.getAttribute("aria-sort") === "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sort(table, column, descending);
      });
    });
  }

  // The search above a table.
  for (const tools of all(".tools")) {
    const table = tools.nextElementSibling.querySelector("table");
    const field = tools.querySelector(".filter");
    const found = tools.querySelector(".found");
    tools.hidden = false;
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const hit = row.cells[0].textContent.toLowerCase().includes(wanted);
        row.hidden = !hit;
        if (hit) shown += 1;
      }
      found.textContent = wanted ? `${shown} found` : "";
    });
  }
})();
