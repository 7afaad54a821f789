// SPDX-License-Identifier: Apache-2.0
// One container: what it has in all, and its last minutes.

function look(id) {
  open = id;
  for (const part of ["charts", "figures"]) at(part).replaceChildren();
  put(at("detail-name"), known.has(id) ? known.get(id).open.title : "");
  put(at("detail-about"), "");
  if (!at("detail").open) at("detail").showModal();
  refresh();
}

function detail(one) {
  const past = one.history, ages = past.age_seconds || [], moving = at("charts").matches(":hover");
  put(at("detail-name"), shown(one.name));
  put(at("detail-about"), [whose(one.workload), one.managed || one.name !== one.cgroup ? "cgroup " + shown(one.cgroup) : "",
    one.managed ? "" : "not managed"].filter(Boolean).join(" · "));
  if (!moving) at("charts").replaceChildren(
    chart("Memory", [{key: "anon", values: past.anon_bytes || []}, {key: "file", values: past.file_bytes || []}], ages,
      {limit: one.page_limit_bytes, text: size, stacked: true, title: legend(one.page_limit_bytes)}),
    chart("Tasks", [{key: "tasks", values: past.tasks || []}], ages, {limit: one.task_limit, text: number}),
    chart("Forks a second", [{key: "forks", values: past.forks || []}], ages, {text: rate}));
  const figures = {
    "Tasks": number(one.tasks) + (one.task_limit === null ? "" : " of " + number(one.task_limit)),
    "Highest number of tasks": number(one.tasks_peak),
    "Memory": size(sum(one.anon_bytes, one.file_bytes)) + (one.page_limit_bytes === null ? "" : " of " + size(one.page_limit_bytes)),
    "Highest memory": size(one.memory_peak_bytes),
    "Anonymous": size(one.anon_bytes), "Page cache": size(one.file_bytes), "Shared memory": size(one.shmem_bytes),
    "Mapped page cache": size(one.mapped_bytes), "Active": size(one.active_bytes),
    "Forks, exits": number(one.forks) + ", " + number(one.exits),
    "Task limit hits": number(one.task_limit_hits), "Page limit hits": number(one.page_limit_hits),
    "Throttled": seconds(one.throttled_seconds),
    "Its own tasks, memory": number(one.local.tasks) + ", " + size(sum(one.local.anon_bytes, one.local.file_bytes)),
    "Cgroup id": String(one.id),
  };
  const list = at("figures");
  if (!list.children.length) for (const key of Object.keys(figures)) {
    const pair = made("div");
    pair.append(made("dt", "", key), made("dd"));
    list.append(pair);
  }
  Object.values(figures).forEach((text, place) => put(list.children[place].lastChild, text));
}
