// SPDX-License-Identifier: Apache-2.0
// The table: an answer of the agent comes in, rows are made, changed and put in order.

function heads() {
  const row = at("containers").tHead.rows[0];
  for (const column of COLUMNS) {
    const head = made("th", "c-" + column.key + (column.key === "name" ? " name" : ""));
    head.scope = "col";
    if (column.sort) {
      const button = made("button", "", column.title);
      button.type = "button";
      button.addEventListener("click", () => order(column.sort));
      head.append(button);
      at("sort").append(new Option(column.title, column.sort));
    } else {
      head.append(made("span", "", column.title));
    }
    column.head = head;
    row.append(head);
  }
}

function order(sort) {
  state.upwards = state.sort === sort && !state.upwards;
  state.sort = sort;
  changed();
}

/** Most first is descending; names from a to z are ascending. */
function sorted() {
  for (const {head, sort} of COLUMNS) {
    if (sort !== state.sort) head.removeAttribute("aria-sort");
    else head.setAttribute("aria-sort", (sort === "name") === state.upwards ? "descending" : "ascending");
  }
  at("sort").value = state.sort;
}

function makeRow(id) {
  const row = made("tr"), name = made("th", "name"), open = made("button");
  name.scope = "row";
  open.type = "button";
  const label = made("bdi"), more = made("span", "whose");
  open.append(label, more);
  name.append(open);
  row.append(name);
  const cells = {row, open, label, more};
  for (const {key} of COLUMNS.slice(1)) {
    const cell = made("td", "c-" + key);
    row.append(cell);
    cells[key] = cell;
  }
  for (const key of ["tasks", "memory"]) {
    cells[key].append(cells[key + "Text"] = made("span"), cells[key + "Of"] = made("span", "of"), cells[key + "Meter"] = meter(key));
  }
  cells.chart.append(cells.spark = spark());
  row.addEventListener("click", () => look(id));
  return cells;
}

function meter(key) {
  const element = made("div", "meter");
  for (const part of key === "tasks" ? ["tasks"] : ["anon", "file"]) element.append(made("i", part));
  element.setAttribute("aria-hidden", "true"); // the text before it says the same
  return element;
}

function fill(element, parts, limit) {
  element.hidden = limit === null || limit === undefined;
  if (element.hidden) return;
  parts.forEach((value, part) => { element.children[part].style.width = Math.min(100, 100 * (value || 0) / (limit || 1)) + "%"; });
  element.classList.toggle("near", parts[0] >= 0.9 * limit);
}

function updateRow(cells, one, depth, label) {
  const name = shown(one.name), memory = sum(one.anon_bytes, one.file_bytes), mark = one.partial ? "~" : "";
  put(cells.label, label);
  cells.open.title = name;
  if (label === name) cells.open.removeAttribute("aria-label");
  else cells.open.setAttribute("aria-label", name);
  cells.open.style.paddingLeft = depth * 18 + "px";
  put(cells.more, whose(one.workload));
  put(cells.tasksText, number(one.tasks));
  put(cells.tasksOf, one.task_limit === null ? "" : " / " + number(one.task_limit));
  fill(cells.tasksMeter, [one.tasks], one.task_limit);
  put(cells.anon, mark + size(one.anon_bytes));
  put(cells.file, mark + size(one.file_bytes));
  put(cells.memoryText, mark + size(memory));
  put(cells.memoryOf, one.page_limit_bytes === null ? "" : " / " + size(one.page_limit_bytes));
  fill(cells.memoryMeter, [one.anon_bytes, one.file_bytes], one.page_limit_bytes);
  sparkle(cells.spark, one.memory_bytes);
  put(cells.forks, rate(one.forks_per_second));
  const total = hitsOf(one), hit = hits.get(one.id);
  put(cells.hits, number(total));
  cells.hits.classList.toggle("hit", total > 0);
  put(cells.throttled, seconds(one.throttled_seconds));
  for (const [cell, value] of [[cells.tasks, one.tasks], [cells.anon, one.anon_bytes], [cells.file, one.file_bytes],
    [cells.memory, memory], [cells.forks, one.forks_per_second], [cells.hits, total], [cells.throttled, one.throttled_seconds]])
    cell.classList.toggle("zero", !value);
  cells.row.classList.toggle("just-hit", Boolean(hit && Date.now() - hit.at < HIT_MS));
}

const hitsOf = one => one.task_limit_hits === null && one.page_limit_hits === null ? null : (one.task_limit_hits || 0) + (one.page_limit_hits || 0);

/** Limits that were hit since the answer before are shown for a while. */
function note(one) {
  const now = hitsOf(one), before = hits.get(one.id);
  hits.set(one.id, {seen: now, at: before && now > before.seen ? Date.now() : before ? before.at : 0});
}

/** The order that was asked for: those that are there only because others are below them come last from the agent. */
function ordered(containers) {
  const figure = {tasks: one => one.tasks, anon: one => one.anon_bytes, file: one => one.file_bytes, hits: hitsOf,
    memory: one => sum(one.anon_bytes, one.file_bytes), throttled: one => one.throttled_seconds}[state.sort];
  const up = state.upwards ? 1 : -1;
  if (!figure) return containers;
  return containers.toSorted((one, other) => {
    const [here, there] = [figure(one), figure(other)];
    return here === null || there === null ? (here === null) - (there === null) : up * (here - there);
  });
}

/** Each below the closest one that it is in. */
function places(containers) {
  if (!state.tree) return containers.map(one => ({one, depth: 0, label: shown(one.name)}));
  containers = ordered(containers);
  const byPath = new Map(containers.map(one => [one.cgroup, one])), below = new Map();
  for (const one of containers) {
    let path = one.cgroup, parent = null;
    while (parent === null && path !== "/") {
      path = path.slice(0, path.lastIndexOf("/")) || "/";
      if (byPath.has(path)) parent = path;
    }
    if (!below.has(parent)) below.set(parent, []);
    below.get(parent).push(one);
  }
  const found = [];
  const add = (parent, depth) => {
    for (const one of below.get(parent) || []) {
      const inside = one.managed && one.name !== "/"; // its last name; the directory may have another
      const label = parent === null ? one.name : inside ? one.name.slice(one.name.lastIndexOf("/") + 1)
        : one.cgroup.slice(parent === "/" ? 1 : parent.length + 1);
      found.push({one, depth, label: shown(label)});
      add(one.cgroup, depth + 1);
    }
  };
  add(null, 0);
  return found;
}

function draw(answer) {
  const body = at("containers").tBodies[0], seen = new Set();
  let next = body.firstElementChild;
  for (const {one, depth, label} of places(answer.containers)) {
    note(one);
    let cells = known.get(one.id);
    if (!cells) known.set(one.id, cells = makeRow(one.id));
    updateRow(cells, one, Math.min(depth, 12), label);
    seen.add(one.id);
    if (cells.row === next) next = next.nextElementSibling;
    else body.insertBefore(cells.row, next);
  }
  for (const [id, cells] of known) if (!seen.has(id)) { cells.row.remove(); known.delete(id); hits.delete(id); }
  const whole = answer.whole || {tasks: null, anon_bytes: null, file_bytes: null, memory_bytes: []};
  const [tasks, anon, file, chart] = at("whole").querySelectorAll("dd");
  put(tasks, number(whole.tasks));
  put(anon, size(whole.anon_bytes));
  put(file, size(whole.file_bytes));
  if (!chart.firstChild) chart.append(spark());
  sparkle(chart.firstChild, whole.memory_bytes);
  put(at("host"), "on " + shown(answer.host));
  document.title = "Containers on " + shown(answer.host);
  put(at("about"), `containeragent ${answer.version}, tasks counted by ${answer.engine.tasks}, pages by ${answer.engine.pages}`);
  const listed = answer.containers.length, of = state.all ? "cgroups" : "containers";
  put(at("count"), (listed < answer.matched ? `first ${number(listed)} of ` : "") + number(answer.matched) +
    (answer.matched < answer.total ? ` of ${number(answer.total)}` : "") + " " + of);
  at("more").hidden = listed >= answer.matched || state.rows >= MOST_ROWS;
  at("empty").hidden = listed > 0;
  put(at("empty"), state.filter ? "No name has that in it." : "No containers yet.");
  at("containers").hidden = !listed;
}
