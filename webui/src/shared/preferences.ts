/** What this browser remembers of its user: language and colours. Works, without remembering, where storage is denied. */

export const LANGUAGES = ["ru", "be", "en"] as const;
export type Language = (typeof LANGUAGES)[number];
export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
}

function oneOf<T extends string>(allowed: readonly T[], value: string | null, otherwise: T): T {
  return allowed.find((one) => one === value) ?? otherwise;
}

/** The language chosen here before; Russian when none was. */
export function rememberedLanguage(): Language {
  return oneOf(LANGUAGES, read("veche.language"), "ru");
}

export function rememberLanguage(language: Language): void {
  write("veche.language", language);
}

/** The colours chosen here before; the system's when none were. */
export function rememberedTheme(): Theme {
  return oneOf(THEMES, read("veche.theme"), "auto");
}

export function rememberTheme(theme: Theme): void {
  write("veche.theme", theme);
}

/** Colour the page; "auto" leaves it to the system. */
export function applyTheme(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
