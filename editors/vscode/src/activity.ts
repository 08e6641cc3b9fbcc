/** Watching the requests for suggestions: the server is thinking, or has nothing to say. */

import type * as vscode from "vscode";
import type { Status } from "./status";

/** Milliseconds before an unanswered request counts as thinking: shorter ones would make the status bar flicker. */
const SOON = 150;

type Items = vscode.InlineCompletionItem[] | vscode.InlineCompletionList | null | undefined;

export class Activity {
  private latest = 0;

  constructor(private readonly bar: { status: Status }) {}

  /** Makes a request and shows what becomes of it, unless a newer one follows. */
  async follow(ask: () => vscode.ProviderResult<Items>, token: vscode.CancellationToken): Promise<Items> {
    const request = ++this.latest;
    const before = this.bar.status;
    const become = (status: Status): void => {
      const now = this.bar.status;
      const explained = now !== before && now.state === "silent" && status.state === "silent";
      const idle = ["ready", "thinking", "silent"].includes(now.state);
      if (request === this.latest && idle && !explained) this.bar.status = status;
    };
    const timer = setTimeout(() => become({ ...before, state: "thinking", reason: undefined }), SOON);
    try {
      const result = await ask();
      const items = Array.isArray(result) ? result : (result?.items ?? []);
      const silent = items.length === 0 && !token.isCancellationRequested;
      become({ ...before, state: silent ? "silent" : "ready", reason: undefined });
      return result;
    } finally {
      clearTimeout(timer);
    }
  }
}
