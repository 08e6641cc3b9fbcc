/** The server's life: found, started, talked to, restarted when it crashes. */

import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  ExecuteCommandRequest,
  InlineCompletionRequest,
  LanguageClient,
  RevealOutputChannelOn,
  State,
  type DynamicFeature,
  type LanguageClientOptions,
  type StaticFeature,
} from "vscode-languageclient/node";
import { Activity } from "./activity";
import { askAgain, askForMore, type Feature, type Ready } from "./askAgain";
import { Backoff } from "./backoff";
import type { Program } from "./discovery";
import * as settings from "./settings";
import { fromServer, type ServerStatus, type Status } from "./status";

export interface Channels {
  output: vscode.LogOutputChannel;
  trace: vscode.LogOutputChannel;
}

/** Without the server's commands as VS Code's own: the extension has some of the same names. `Server.execute` runs them. */
class Client extends LanguageClient {
  override registerFeature(feature: StaticFeature | DynamicFeature<any>): void {
    const ofCommands = "registrationType" in feature && feature.registrationType.method === ExecuteCommandRequest.method;
    if (!ofCommands) super.registerFeature(feature);
  }
}

export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private current: Status = { state: "starting" };
  private queue: Promise<void> = Promise.resolve();
  private retry: NodeJS.Timeout | undefined;
  private readonly backoff = new Backoff();
  private readonly activity = new Activity(this);
  private readonly changed = new vscode.EventEmitter<Status>();
  readonly onDidChange = this.changed.event;

  /** The program that runs now. */
  program: Program | undefined;

  constructor(
    private readonly find: () => Program | undefined,
    private readonly paused: () => boolean,
    private readonly channels: Channels,
  ) {}

  get status(): Status {
    return this.current;
  }

  set status(status: Status) {
    this.current = status;
    this.changed.fire(status);
  }

  /** Stops the server if it runs, looks for its program again, and starts it. */
  restart(): Promise<void> {
    this.backoff.reset();
    return this.enqueue(async () => {
      await this.stop();
      await this.start();
    });
  }

  /** Tells the server the settings as they are now, and has the editor's suggestion follow them. */
  async sendSettings(): Promise<void> {
    const client = this.client;
    if (client?.state !== State.Running) return;
    await client.sendNotification("workspace/didChangeConfiguration", {
      settings: { [settings.SECTION]: this.serverSettings() },
    });
    await askAgain(suggestionsOf(client));
  }

  /** The commands that the running server offers. */
  get commands(): readonly string[] {
    return this.client?.initializeResult?.capabilities.executeCommandProvider?.commands ?? [];
  }

  async execute(command: string, ...args: unknown[]): Promise<unknown> {
    return await this.client?.sendRequest(ExecuteCommandRequest.method, { command, arguments: args });
  }

  dispose(): void {
    void this.enqueue(() => this.stop());
    this.changed.dispose();
  }

  /** Runs one change of state after the other. */
  private enqueue(work: () => Promise<void>): Promise<void> {
    this.queue = this.queue.then(work).catch((error: unknown) => this.channels.output.error(String(error)));
    return this.queue;
  }

  private async stop(): Promise<void> {
    clearTimeout(this.retry);
    const client = this.client;
    this.client = undefined;
    if (client?.needsStop()) await client.dispose();
  }

  private async start(): Promise<void> {
    const program = (this.program = this.find());
    if (!program) {
      this.status = { state: "missing" };
      return;
    }
    const { output } = this.channels;
    output.info(`Starting ${[program.command, ...program.args].join(" ")} serve (${program.origin})`);
    this.status = { state: "starting" };
    const client = new Client(
      settings.SECTION,
      "flash-lsp",
      { command: program.command, args: [...program.args, "serve"], options: { env: { ...process.env, PYTHONSAFEPATH: "1" } } },
      this.options(),
    );
    this.client = client;
    client.onNotification("flash-lsp/status", (params: ServerStatus) => {
      const before = this.status.state;
      this.status = fromServer(params);
      if (this.status.state === "ready" && (before === "starting" || before === "loading")) void askAgain(suggestionsOf(client));
    });
    client.onNotification("flash-lsp/ready", (params: Ready) => askForMore(params, suggestionsOf(client)));
    client.onDidChangeState(({ oldState, newState }) => {
      if (client === this.client && oldState === State.Running && newState === State.Stopped) this.crashed("while running");
    });
    try {
      await client.start();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!message.includes("ENOENT")) return this.crashed("while starting");
      this.status = { state: "missing", message: `${program.command} (${program.origin}) is not a program.` };
    }
  }

  private crashed(when: string): void {
    const wait = this.backoff.next();
    const next = wait === undefined ? "not started again" : `started again in ${wait / 1000} s`;
    const message = `The server stopped unexpectedly ${when}: ${next}.`;
    this.channels.output.error(message);
    this.status = { state: "error", message };
    if (wait === undefined) return void this.offerRestart(message);
    clearTimeout(this.retry);
    this.retry = setTimeout(() => {
      void this.enqueue(async () => {
        await this.stop();
        await this.start();
      });
    }, wait);
  }

  private async offerRestart(message: string): Promise<void> {
    const answer = await vscode.window.showErrorMessage(`flash-lsp: ${message}`, "Show output", "Start again");
    if (answer === "Show output") this.channels.output.show();
    else if (answer) await this.restart();
  }

  private serverSettings(): Record<string, unknown> {
    return { ...settings.ofTheServer(), ...(this.paused() ? { enabled: false } : {}) };
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: [{ scheme: "file" }, { scheme: "untitled" }, { scheme: "vscode-notebook-cell" }],
      outputChannel: this.channels.output,
      traceOutputChannel: this.channels.trace,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      initializationOptions: () => this.serverSettings(),
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => ({ action: CloseAction.DoNotRestart, handled: true }),
      },
      middleware: {
        workspace: {
          configuration: ({ items }) => items.map(({ section }) => (section === settings.SECTION ? this.serverSettings() : null)),
          didChangeConfiguration: () => this.sendSettings(),
        },
        handleWorkDoneProgress: (token, params, next) => {
          next(token, params);
          const percent = "percentage" in params ? params.percentage : undefined;
          if (this.current.state === "loading" && percent !== undefined) this.status = { ...this.current, percent };
        },
        provideInlineCompletionItems: (document, position, context, token, next) => {
          if (this.paused()) return null;
          return this.activity.follow(() => next(document, position, context, token), token);
        },
      },
    };
  }
}

function suggestionsOf(client: LanguageClient): Feature | undefined {
  return client.getFeature(InlineCompletionRequest.method);
}
