// SPDX-License-Identifier: Apache-2.0
// What the other parts share: what is chosen, elements, names and figures as text. Names are hostile: they come into the
// document as text only, with what cannot be seen spelled out.
"use strict";

const EVERY_MS = 2000, FIRST_ROWS = 100, MOST_ROWS = 1000, HIT_MS = 10000, LATE_MS = 15000;
const SVG = "http://www.w3.org/2000/svg";
const UNKNOWN = "–";
const at = id => document.getElementById(id);
const state = {sort: "memory", upwards: false, filter: "", tree: true, all: false, rows: FIRST_ROWS, paused: false};
const known = new Map(); // rows of the table by id
const hits = new Map(); // id: {seen, at}
let open = null; // id of the container in the detail view
let timer = 0, asked = null, answered = null;

const COLUMNS = [
  {key: "name", title: "Container", sort: "name"},
  {key: "tasks", title: "Tasks", sort: "tasks"},
  {key: "anon", title: "Anonymous", sort: "anon"},
  {key: "file", title: "Page cache", sort: "file"},
  {key: "memory", title: "Memory", sort: "memory"},
  {key: "chart", title: "Last 10 min"},
  {key: "forks", title: "Forks/s", sort: "forks"},
  {key: "hits", title: "Limit hits", sort: "hits"},
  {key: "throttled", title: "Throttled", sort: "throttled"},
];


function made(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function drawn(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** A name without what changes how others are read: control characters, marks of direction, bytes that are no UTF-8. */
function shown(name) {
  return name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, character => {
    const code = character.codePointAt(0);
    const byte = code >= 0xdc80 && code <= 0xdcff ? code - 0xdc00 : code;
    return byte < 0x100 ? "\\x" + byte.toString(16).padStart(2, "0") : "\\u{" + byte.toString(16) + "}";
  });
}

function size(bytes) {
  if (bytes === null || bytes === undefined) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (bytes >= 1023.95 && unit < units.length - 1) { bytes /= 1024; unit++; }
  return (unit && bytes < 99.95 ? bytes.toFixed(1) : Math.round(bytes)) + " " + units[unit];
}

const number = value => value === null || value === undefined ? UNKNOWN : value.toLocaleString("en").replace(/,/g, " ");
const rate = value => value === null || value === undefined ? UNKNOWN : value >= 10 || !value ? value.toFixed(0) : value.toFixed(1);
const seconds = value => value === null || value === undefined ? UNKNOWN : value >= 100 || !value ? value.toFixed(0) + " s" : value.toFixed(1) + " s";
const sum = (one, other) => one === null || other === null ? null : one + other;

function whose(workload) {
  if (!workload) return "";
  const name = workload.name || workload.id.slice(0, 12), pod = workload.pod || workload.pod_uid.slice(0, 12);
  return shown(workload.runtime + " " + [workload.namespace, pod, name].filter(Boolean).join("/"));
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
