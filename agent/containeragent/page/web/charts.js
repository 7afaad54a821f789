// SPDX-License-Identifier: Apache-2.0
// Charts: numbers of the last minutes come in, SVG goes out.

function spark() {
  const element = drawn("svg", {class: "spark", preserveAspectRatio: "none", role: "img"});
  element.append(drawn("path", {class: "area"}), drawn("path", {class: "edge"}));
  return element;
}

/** Runs of known values as points; a gap where nothing is known. */
function runs(values, x, y) {
  const found = [];
  let run = null;
  values.forEach((value, place) => {
    if (value === null) { run = null; return; }
    if (!run) found.push(run = []);
    run.push([x(place), y(value)]);
  });
  return found;
}

const line = points => "M" + points.map(([x, y]) => x.toFixed(1) + " " + y.toFixed(1)).join("L");

function sparkle(element, values) {
  const last = values.length - 1, highest = Math.max(1, ...values.map(value => value || 0));
  element.setAttribute("viewBox", `0 0 ${Math.max(1, last)} 26`);
  const found = runs(values, place => place, value => 25 - 23 * value / highest);
  element.children[0].setAttribute("d", found.map(run => line(run) + `L${run.at(-1)[0]} 26L${run[0][0]} 26Z`).join(""));
  element.children[1].setAttribute("d", found.map(line).join(""));
  const past = values.filter(value => value !== null);
  element.setAttribute("aria-label", past.length ? `memory from ${size(Math.min(...past))} to ${size(highest)}` : "no samples yet");
}

/** One chart: `series` from the bottom up, each {key, values}; what is stacked is filled. */
function chart(title, series, ages, {limit, text, stacked, title: legend}) {
  const figure = made("figure"), caption = made("figcaption"), value = made("b");
  const sums = ages.map((_, place) => stacked ? series.reduce((all, one) => sum(all, one.values[place]), 0) : series[0].values[place]);
  const highest = Math.max(...sums.map(one => one || 0), limit !== null && limit !== undefined ? Math.min(limit, 4 * Math.max(1, ...sums)) : 0, 1e-9) * 1.08;
  const oldest = Math.max(600, ages[0] || 0), x = place => 300 - 300 * ages[place] / oldest, y = amount => 100 - 100 * amount / highest;
  const svg = drawn("svg", {viewBox: "0 0 300 101", preserveAspectRatio: "none", role: "img"});
  svg.append(drawn("line", {class: "axis", x1: 0, x2: 300, y1: 100.5, y2: 100.5}));
  let base = ages.map(() => 0);
  for (const {key, values} of series) {
    const top = values.map((one, place) => stacked ? sum(base[place], one) : one);
    const path = stacked
      ? runs(top.map((one, place) => one === null ? null : place), x, place => place).map(run =>
        line(run.map(([across, place]) => [across, y(top[place])])) +
        "L" + run.toReversed().map(([across, place]) => across.toFixed(1) + " " + y(base[place]).toFixed(1)).join("L") + "Z").join("")
      : runs(top, x, y).map(line).join("");
    svg.append(drawn("path", {class: key, d: path}));
    base = top;
  }
  if (limit !== null && limit !== undefined && limit <= highest) svg.append(drawn("line", {class: "limit", x1: 0, x2: 300, y1: y(limit), y2: y(limit)}));
  const cursor = drawn("line", {class: "cursor", y1: 0, y2: 100, visibility: "hidden"});
  svg.append(cursor);
  const now = sums.length ? text(sums.at(-1)) : UNKNOWN;
  svg.setAttribute("aria-label", `${title}, last 10 minutes: now ${now}, highest ${sums.length ? text(Math.max(...sums.map(one => one || 0))) : UNKNOWN}`);
  const name = made("span", "", title);
  put(value, now);
  svg.addEventListener("pointermove", event => {
    if (!ages.length) return;
    const box = svg.getBoundingClientRect(), wanted = oldest * (1 - (event.clientX - box.left) / box.width);
    const place = ages.reduce((best, age, index) => Math.abs(age - wanted) < Math.abs(ages[best] - wanted) ? index : best, 0);
    for (const side of ["x1", "x2"]) cursor.setAttribute(side, x(place));
    cursor.setAttribute("visibility", "visible");
    put(name, title + ", " + Math.round(ages[place]) + " s ago");
    put(value, text(sums[place]));
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); put(name, title); put(value, now); });
  caption.append(name, value);
  figure.append(caption, svg);
  if (legend) figure.append(legend);
  return figure;
}

function legend(limit) {
  const element = made("p", "legend");
  for (const [key, title] of [["anon", "anonymous"], ["file", "page cache"]]) {
    const entry = made("span");
    entry.append(made("i", key), document.createTextNode(title));
    element.append(entry);
  }
  if (limit !== null) element.append(made("span", "", "limit " + size(limit)));
  return element;
}
