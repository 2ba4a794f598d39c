import "../shared/base.css";
import "./start.css";

import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

import { askHealth, type Reachability } from "../shared/health";
import {
  applyTheme,
  type Language,
  rememberedLanguage,
  rememberedTheme,
  rememberLanguage,
  rememberTheme,
  type Theme,
} from "../shared/preferences";
import { StartPage } from "./StartPage";
import { WORDS } from "./words";

const ASK_EVERY_MS = 10_000;

function App() {
  const [language, setLanguage] = useState<Language>(rememberedLanguage);
  const [theme, setTheme] = useState<Theme>(rememberedTheme);
  const [reachability, setReachability] = useState<Reachability>({ state: "asking" });

  useEffect(() => {
    document.documentElement.lang = language;
    document.title = `Veche · ${WORDS[language].tagline}`;
    rememberLanguage(language);
  }, [language]);

  useEffect(() => {
    applyTheme(theme);
    rememberTheme(theme);
  }, [theme]);

  useEffect(() => {
    let left = false;
    const ask = async () => {
      const answer = await askHealth();
      if (!left) setReachability(answer);
    };
    void ask();
    const timer = setInterval(() => void ask(), ASK_EVERY_MS);
    return () => {
      left = true;
      clearInterval(timer);
    };
  }, []);

  return (
    <StartPage
      language={language}
      theme={theme}
      reachability={reachability}
      pageHost={location.hostname}
      onLanguage={setLanguage}
      onTheme={setTheme}
    />
  );
}

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
applyTheme(rememberedTheme());
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
