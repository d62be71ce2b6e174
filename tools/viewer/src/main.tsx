import "@fontsource-variable/inter";
import "@fontsource-variable/source-serif-4/opsz.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/parts.css";
import "./styles/views.css";

import { render } from "preact";

import { App } from "./app";

render(<App />, document.getElementById("app")!);
