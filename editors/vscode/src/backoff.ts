/** How long to wait before a server that has crashed is started again. */

const WINDOW = 180_000;
const MOST = 5;
const FIRST = 500;

export class Backoff {
  private crashes: number[] = [];

  constructor(private readonly now: () => number = Date.now) {}

  /** Milliseconds to wait after this crash, twice as long each time; undefined: 5 crashes in 3 minutes, give up. */
  next(): number | undefined {
    const now = this.now();
    this.crashes = [...this.crashes.filter((time) => now - time < WINDOW), now];
    return this.crashes.length < MOST ? FIRST * 2 ** (this.crashes.length - 1) : undefined;
  }

  reset(): void {
    this.crashes = [];
  }
}
