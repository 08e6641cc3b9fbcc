/** Making the editor ask once more: for a longer text (`flash-lsp/ready`), or for the first one of a server that has just loaded. */

import * as vscode from "vscode";

export interface Ready {
  uri: string;
  version: number;
  position: { line: number; character: number };
}

export class AskAgain {
  private asking = false;

  /** Whether the editor is set to show suggestions by itself in this document. */
  static wanted(document: vscode.TextDocument): boolean {
    return vscode.workspace.getConfiguration("editor", document).get<boolean>("inlineSuggest.enabled", true);
  }

  /** Asks again, unless the user has moved on since the last reply. */
  async ready({ uri, version, position }: Ready): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor || editor.document.uri.toString() !== vscode.Uri.parse(uri).toString()) return;
    const { line, character } = editor.selection.active;
    const still = editor.document.version === version && line === position.line && character === position.character;
    if (still) await this.ask(editor);
  }

  /** Asks at the cursor if the user is writing: what was typed while the server was not there went without an answer. */
  async loaded(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (editor?.document.isDirty) await this.ask(editor);
  }

  private async ask(editor: vscode.TextEditor): Promise<void> {
    if (!editor.selection.isEmpty || !AskAgain.wanted(editor.document)) return;
    this.asking = true;
    try {
      await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
    } finally {
      this.asking = false;
    }
  }

  /** The context to send with a request: one that this object caused was not invoked by the user. */
  context(given: vscode.InlineCompletionContext): vscode.InlineCompletionContext {
    return this.asking ? { ...given, triggerKind: vscode.InlineCompletionTriggerKind.Automatic } : given;
  }
}
