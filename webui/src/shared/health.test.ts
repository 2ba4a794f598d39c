import { afterEach, expect, test, vi } from "vitest";

import { askHealth, parseHealth, sipServer } from "./health";

afterEach(() => {
  vi.unstubAllGlobals();
});

test("an answer of any shape is understood as far as it goes", () => {
  expect(parseHealth(null)).toEqual({ version: null, sip: null });
  expect(parseHealth({ version: 7, sip: "x" })).toEqual({ version: null, sip: null });
  expect(parseHealth({ version: "0.1.0", sip: { host: "10.0.0.1", port: 5060 } })).toEqual({
    version: "0.1.0",
    sip: { host: "10.0.0.1", port: 5060 },
  });
});

test.each([
  [{ host: "10.0.0.1", port: 5060 }, "10.0.0.1"],
  [{ host: "10.0.0.1", port: 15060 }, "10.0.0.1:15060"],
  [{ host: "0.0.0.0", port: 5060 }, "page.example"],
  [{ host: "2001:db8::1", port: 5070 }, "[2001:db8::1]:5070"],
  [null, "page.example"],
])("a softphone is told the server %o as %s", (sip, told) => {
  expect(sipServer({ version: null, sip }, "page.example")).toBe(told);
});

test("a server that refuses, errs or hangs is down, and nothing is thrown", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("refused")));
  expect(await askHealth()).toEqual({ state: "down" });
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("starting", { status: 503 })));
  expect(await askHealth()).toEqual({ state: "down" });
});

test("a server that answers in plain text is up", async () => {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("ok")));
  expect(await askHealth()).toEqual({ state: "up", health: { version: null, sip: null } });
});
