"use strict";
// What the page carries: events are unpacked when their run is shown.

function dataOf(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

const KINDS = dataOf("kinds");
const KIND = Object.fromEntries(KINDS.map((name, number) => [name, number]));

// What a processor runs, as `context_number` in tape.rs numbers it.
const CONTEXTS = ["bench", "thread", "isr", "dpc", "critical", "idle"];

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

// The events of a run in columns. The form is that of timeline/pack.rs.
function unpack(timeline) {
  const bytes = bytesOf(timeline.events);
  const count = timeline.count;
  const events = {
    count,
    kind: new Uint8Array(count),
    step: new Float64Array(count),
    time: new Float64Array(count),
    processor: new Uint16Array(count),
    irql: new Uint8Array(count),
    context: new Float64Array(count),
    text: new Uint32Array(count),
    place: new Uint32Array(count),
    first: new Float64Array(count),
    second: new Float64Array(count),
  };
  let at = 0;
  const take = () => {
    let byte = bytes[at++];
    if (byte < 0x80) return byte;
    let number = byte & 0x7f;
    let factor = 128;
    do {
      byte = bytes[at++];
      number += (byte & 0x7f) * factor;
      factor *= 128;
    } while (byte >= 0x80);
    return number;
  };
  let step = 0;
  let time = 0;
  for (let event = 0; event < count; event++) {
    events.kind[event] = bytes[at++];
    events.step[event] = step += take();
    events.time[event] = time += take();
    events.processor[event] = take();
    events.irql[event] = bytes[at++];
    events.context[event] = take();
    events.text[event] = take();
    events.place[event] = take();
    events.first[event] = take();
    events.second[event] = take();
  }
  return events;
}

function contextName(number) {
  const kind = CONTEXTS[number % 8];
  const rest = Math.floor(number / 8);
  if (kind === "thread") return `thread ${rest}`;
  if (kind === "isr") return `ISR of vector 0x${rest.toString(16)}`;
  return { bench: "bench", dpc: "DPC", critical: "critical section", idle: "idle" }[kind];
}

function levelName(level) {
  const names = { 0: "PASSIVE", 1: "APC", 2: "DISPATCH", 12: "SYNCH", 13: "CLOCK", 14: "IPI", 15: "HIGH" };
  return names[level] ?? `DIRQL ${level}`;
}

// A level with its number.
function levelText(level) {
  const name = levelName(level);
  return name.startsWith("DIRQL") ? name : `${level} ${name}`;
}

function microseconds(time) {
  return `${Math.floor(time / 10).toLocaleString("en")}.${time % 10} µs`;
}
