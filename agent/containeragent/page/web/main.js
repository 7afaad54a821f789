// SPDX-License-Identifier: Apache-2.0
// Asks the agent for the first containers in an order, every two seconds; keys, clicks, and what the address keeps.

async function get(path, signal) {
  const response = await fetch(path, {signal, cache: "no-store"});
  const answer = await response.json().catch(() => null);
  if (!response.ok || !answer) throw new Error(answer && answer.error ? answer.error.message : "HTTP status " + response.status);
  return answer;
}

function query() {
  return new URLSearchParams({sort: state.sort, upwards: state.upwards, filter: state.filter, tree: state.tree, all: state.all, limit: state.rows});
}

async function refresh() {
  clearTimeout(timer);
  if (asked) asked.abort();
  const mine = asked = new AbortController(), late = setTimeout(() => mine.abort("late"), LATE_MS);
  try {
    const answer = await get("live/top?" + query(), mine.signal);
    if (mine !== asked) return;
    draw(answer);
    answered = new Date();
    trouble("");
    if (open !== null) await refreshDetail(mine);
  } catch (error) {
    if (mine !== asked) return;
    trouble((mine.signal.reason === "late" || error instanceof TypeError ? "The agent does not answer" : error.message) +
      (answered ? "; these figures are of " + answered.toLocaleTimeString() : "") + ". Trying again.");
  } finally {
    clearTimeout(late);
    if (mine === asked) { asked = null; if (!state.paused && !document.hidden) timer = setTimeout(refresh, EVERY_MS); }
  }
}

async function refreshDetail(mine) {
  const id = open;
  try {
    const one = await get("live/container?id=" + id, mine.signal);
    if (id === open) detail(one);
  } catch (error) {
    if (mine.signal.aborted) throw error;
    if (id === open) put(at("detail-about"), error.message);
  }
}

function trouble(text) {
  at("trouble").hidden = !text;
  put(at("trouble"), text);
}

/** What was chosen is in the address, so that it can be kept and sent. */
function changed() {
  const kept = {sort: state.sort};
  for (const key of ["upwards", "all"]) if (state[key]) kept[key] = "true";
  if (!state.tree) kept.tree = "false";
  if (state.filter) kept.filter = state.filter;
  history.replaceState(null, "", "#" + new URLSearchParams(kept));
  sorted();
  refresh();
}

function chosen() {
  const kept = new URLSearchParams(location.hash.slice(1));
  if (COLUMNS.some(({sort}) => sort && sort === kept.get("sort"))) state.sort = kept.get("sort");
  state.upwards = kept.get("upwards") === "true";
  state.all = at("all").checked = kept.get("all") === "true";
  state.tree = at("tree").checked = kept.get("tree") !== "false";
  state.filter = at("filter").value = kept.get("filter") || "";
}

function move(step) {
  const buttons = [...at("containers").tBodies[0].rows].map(row => row.cells[0].firstChild);
  const now = buttons.indexOf(document.activeElement);
  const next = buttons[now < 0 ? (step > 0 ? 0 : buttons.length - 1) : now + step];
  if (next) next.focus();
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || at("detail").open) return;
  const typing = event.target.matches("input[type=search], select");
  if (event.key === "/" && !typing) { event.preventDefault(); at("filter").focus(); }
  else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.tagName !== "SELECT") {
    event.preventDefault();
    move(event.key === "ArrowDown" ? 1 : -1);
  }
}

function begin() {
  heads();
  chosen();
  sorted();
  let typed = 0;
  at("filter").addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => { state.filter = at("filter").value; state.rows = FIRST_ROWS; changed(); }, 150);
  });
  at("controls").addEventListener("submit", event => event.preventDefault());
  at("sort").addEventListener("change", () => { state.sort = at("sort").value; state.upwards = false; changed(); });
  for (const key of ["tree", "all"]) at(key).addEventListener("change", () => { state[key] = at(key).checked; changed(); });
  at("pause").addEventListener("click", () => {
    state.paused = !state.paused;
    at("pause").setAttribute("aria-pressed", state.paused);
    put(at("pause"), state.paused ? "Go on" : "Pause");
    if (state.paused) clearTimeout(timer); else refresh();
  });
  at("more").addEventListener("click", () => { state.rows = Math.min(MOST_ROWS, state.rows * 3); refresh(); });
  at("close").addEventListener("click", () => at("detail").close());
  at("detail").addEventListener("close", () => { open = null; });
  at("detail").addEventListener("click", event => { if (event.target === at("detail")) at("detail").close(); });
  document.addEventListener("keydown", pressed);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !state.paused) refresh(); });
  refresh();
}

begin();
