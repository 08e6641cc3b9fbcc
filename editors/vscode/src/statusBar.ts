/** The status bar item: the first of its sources that has something to say. */

import * as vscode from "vscode";
import { present, type Status } from "./status";

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("flash-lsp", vscode.StatusBarAlignment.Right, 100);

  constructor(private readonly sources: readonly (() => Status | undefined)[]) {
    this.item.name = "flash-lsp";
    this.item.command = "flash-lsp.showMenu";
    this.render();
    this.item.show();
  }

  get status(): Status {
    for (const source of this.sources) {
      const status = source();
      if (status) return status;
    }
    return { state: "starting" };
  }

  render(): void {
    const { text, tooltip, severity } = present(this.status);
    this.item.text = text;
    this.item.tooltip = tooltip;
    this.item.backgroundColor =
      severity === "normal" ? undefined : new vscode.ThemeColor(`statusBarItem.${severity}Background`);
  }

  dispose(): void {
    this.item.dispose();
  }
}
