/** Pause and snooze: suggestions are off in this window, until resumed or for some minutes. */

import * as vscode from "vscode";
import type { Status } from "./status";

export class Pause implements vscode.Disposable {
  private until: Date | "resumed" | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;

  get active(): boolean {
    return this.until !== undefined;
  }

  get status(): Status | undefined {
    if (this.until === undefined) return undefined;
    const end = this.until === "resumed" ? "resumed" : this.until.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return { state: "paused", reason: `until ${end}` };
  }

  pause(): void {
    this.become("resumed");
  }

  snooze(minutes: number): void {
    this.become(new Date(Date.now() + 60_000 * minutes));
    this.timer = setTimeout(() => this.resume(), 60_000 * minutes);
  }

  resume(): void {
    this.become(undefined);
  }

  private become(until: typeof this.until): void {
    clearTimeout(this.timer);
    this.until = until;
    void vscode.commands.executeCommand("setContext", "flash-lsp.paused", this.active);
    this.changed.fire();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.changed.dispose();
  }
}
