import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";

import type { Reachability } from "../shared/health";
import { type Language, LANGUAGES } from "../shared/preferences";
import { StartPage } from "./StartPage";
import { WORDS } from "./words";

function page(language: Language, reachability: Reachability): string {
  const ignore = () => undefined;
  return renderToStaticMarkup(
    <StartPage
      language={language}
      theme="auto"
      reachability={reachability}
      pageHost="veche.example"
      onLanguage={ignore}
      onTheme={ignore}
    />,
  );
}

test.each(LANGUAGES)("the start page in %s tells how to call in three steps", (language) => {
  const html = page(language, { state: "asking" });
  expect(html.match(/<li>/g)).toHaveLength(3);
  expect(html).toContain(WORDS[language].howTitle);
  expect(html).toContain('href="/api/v1/docs"');
});

test("it tells that the server is up, and where phones reach it", () => {
  const html = page("ru", { state: "up", health: { version: "0.1.0", sip: { host: "10.0.0.1", port: 15060 } } });
  expect(html).toContain("Сервер работает");
  expect(html).toContain("<dd>10.0.0.1:15060</dd>");
});

test("it tells that the server is silent, and what to look at", () => {
  expect(page("en", { state: "down" })).toContain(WORDS.en.downHint);
});
