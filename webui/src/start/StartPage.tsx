import type { ReactNode } from "react";

import { type Reachability, sipServer } from "../shared/health";
import { type Language, LANGUAGES, type Theme, THEMES } from "../shared/preferences";
import { Choice } from "./Choice";
import { Command } from "./Command";
import { LANGUAGE_NAMES, type Words, WORDS } from "./words";

interface Props {
  language: Language;
  theme: Theme;
  reachability: Reachability;
  pageHost: string;
  onLanguage: (language: Language) => void;
  onTheme: (theme: Theme) => void;
}

/** What whoever opens the server's address sees: is it up, and how does one call a conference. */
export function StartPage({ language, theme, reachability, pageHost, onLanguage, onTheme }: Props) {
  const words = WORDS[language];
  const themes: Record<Theme, { short: string; full: string }> = {
    auto: { short: "◐", full: words.themeAuto },
    light: { short: "☀", full: words.themeLight },
    dark: { short: "☾", full: words.themeDark },
  };
  const server = sipServer(reachability.state === "up" ? reachability.health : null, pageHost);
  return (
    <>
      <header>
        <img src="/veche.svg" alt="" width="44" height="44" />
        <div className="name">
          <h1>Veche</h1>
          <p>{words.tagline}</p>
        </div>
        <div className="choices">
          <Choice name="language" legend={words.language} values={LANGUAGES} labels={LANGUAGE_NAMES} value={language} onChange={onLanguage} />
          <Choice name="theme" legend={words.theme} values={THEMES} labels={themes} value={theme} onChange={onTheme} />
        </div>
      </header>
      <main>
        <Status words={words} reachability={reachability} />
        <h2>{words.howTitle}</h2>
        <ol className="steps">
          <Step title={words.createTitle} text={words.createText}>
            <Command text="./veche token create --name me --scope operator" words={words} />
            <a href="/api/v1/docs">{words.api}</a>
          </Step>
          <Step title={words.phoneTitle} text={words.phoneText}>
            <Command text="./veche account add 375291234567" words={words} />
            <dl>
              <dt>{words.server}</dt>
              <dd>{server}</dd>
              <dt>{words.transport}</dt>
              <dd>UDP / TCP</dd>
              <dt>{words.account}</dt>
              <dd>375291234567</dd>
            </dl>
          </Step>
          <Step title={words.dialTitle} text={words.dialText}>
            <dl>
              <dt>{words.dialNumber}</dt>
              <dd>204817</dd>
              <dt>{words.dialPin}</dt>
              <dd>204817*4321</dd>
            </dl>
          </Step>
        </ol>
        <h2>{words.further}</h2>
        <nav className="links">
          <a href="/api/v1/docs">
            <strong>{words.api}</strong>
            <span>{words.apiHint}</span>
          </a>
          <a href="/api/v1/openapi.json">
            <strong>{words.openapi}</strong>
            <span>{words.openapiHint}</span>
          </a>
        </nav>
      </main>
    </>
  );
}

function Status({ words, reachability }: { words: Words; reachability: Reachability }) {
  const version = reachability.state === "up" ? reachability.health.version : null;
  return (
    <section className={`status ${reachability.state}`} role="status">
      <span className="lamp" aria-hidden="true" />
      <p>
        <strong>{words[reachability.state]}</strong>
        {version !== null && (
          <span className="aside">
            {words.version} {version}
          </span>
        )}
        {reachability.state === "down" && <span className="hint">{words.downHint}</span>}
      </p>
    </section>
  );
}

function Step({ title, text, children }: { title: string; text: string; children: ReactNode }) {
  return (
    <li>
      <h3>{title}</h3>
      <p>{text}</p>
      {children}
    </li>
  );
}
