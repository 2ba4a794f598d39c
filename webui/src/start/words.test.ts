import { expect, test } from "vitest";

import { LANGUAGES } from "../shared/preferences";
import { LANGUAGE_NAMES, WORDS } from "./words";

test.each(LANGUAGES)("every text is there in %s", (language) => {
  expect(Object.entries(WORDS[language]).filter(([, text]) => text.trim() === "")).toEqual([]);
  expect(LANGUAGE_NAMES[language].full).not.toBe("");
});

test("Russian and Belarusian are not mixed up", () => {
  const text = (language: "ru" | "be") => Object.values(WORDS[language]).join(" ").toLowerCase();
  expect(text("be")).not.toMatch(/[ищъ]/);
  expect(text("ru")).not.toMatch(/[іў]/);
});
