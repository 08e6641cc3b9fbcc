/** What flash-lsp is doing, as the server's `flash-lsp/status` says it and the status bar shows it. */

export type State =
  | "missing"
  | "installing"
  | "starting"
  | "loading"
  | "ready"
  | "thinking"
  | "silent"
  | "paused"
  | "off"
  | "error";

export interface Status {
  state: State;
  /** Why nothing is suggested. */
  reason?: string | undefined;
  /** Progress, 0 to 100. */
  percent?: number | undefined;
  message?: string | undefined;
}

export interface Presentation {
  text: string;
  tooltip: string;
  severity: "normal" | "warning" | "error";
}

const ICONS: Record<State, string> = {
  missing: "$(warning)",
  installing: "$(loading~spin)",
  starting: "$(loading~spin)",
  loading: "$(loading~spin)",
  ready: "$(zap)",
  thinking: "$(loading~spin)",
  silent: "$(dash)",
  paused: "$(debug-pause)",
  off: "$(circle-slash)",
  error: "$(error)",
};

const MEANINGS: Record<State, string> = {
  missing: "No server found. Click to set it up.",
  installing: "The server is being set up.",
  starting: "The server is starting.",
  loading: "The model is being loaded.",
  ready: "Ready: suggestions appear as you type.",
  thinking: "Computing a suggestion.",
  silent: "Nothing to suggest here.",
  paused: "Paused.",
  off: "Suggestions are off.",
  error: "The server does not work. Click for its output.",
};

/** The words beside the icon: none while all is well, so that the item keeps its width as the user types. */
function detail({ state, reason, percent }: Status): string {
  if (percent !== undefined && (state === "loading" || state === "installing")) return `${state} ${Math.round(percent)} %`;
  if (state === "silent") return reason ?? "no suggestion";
  if (state === "missing") return "set up";
  return state === "ready" || state === "thinking" ? "" : state;
}

export function present(status: Status): Presentation {
  const words = detail(status);
  return {
    text: `${ICONS[status.state]} flash-lsp${words && `: ${words}`}`,
    tooltip: ["flash-lsp", MEANINGS[status.state], status.reason, status.message].filter(Boolean).join("\n"),
    severity: status.state === "error" ? "error" : status.state === "missing" ? "warning" : "normal",
  };
}

const STATES = Object.keys(ICONS);

/** Parameters of `flash-lsp/status`. */
export interface ServerStatus extends Omit<Status, "state"> {
  state: string;
}

/** The server's notification as a status; a state that this client does not know counts as ready. */
export function fromServer({ state, ...rest }: ServerStatus): Status {
  return { ...rest, state: STATES.includes(state) ? (state as State) : "ready" };
}
