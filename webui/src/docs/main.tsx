import "../shared/base.css";
import "swagger-ui-dist/swagger-ui.css";
import "./docs.css";

import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";

import { applyTheme, rememberedTheme } from "../shared/preferences";

const root = document.getElementById("root");
if (!root) throw new Error("docs.html has no #root");

const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** Swagger UI has its own switch for dark colours: a class on the root element. */
function colour(): void {
  const theme = rememberedTheme();
  applyTheme(theme);
  const dark = theme === "dark" || (theme === "auto" && systemDark.matches);
  document.documentElement.classList.toggle("dark-mode", dark);
}

colour();
systemDark.addEventListener("change", colour);

const back = document.createElement("a");
back.className = "back";
back.href = "/";
back.textContent = "← Veche";
root.before(back);

SwaggerUI({
  url: "/api/v1/openapi.json",
  domNode: root,
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  validatorUrl: null,
});
