const LINGER_MS = 10_000;

/** Ends a run with one plain line any reader understands, and fails a run in which nothing ran. */
export default class TotalsReporter {
  #failure;
  #watching;

  constructor({ watch, watchAll }) {
    this.#watching = watch || watchAll;
  }

  onRunComplete(_contexts, results) {
    const skipped = results.numPendingTests + results.numTodoTests;
    const broken = results.numRuntimeErrorTestSuites;
    const failed = results.numFailedTests + broken;
    if (results.numPassedTests + failed === 0) this.#failure = new Error("no test ran");
    // On exit, so that nothing of Jest's own follows it.
    process.once("exit", () => {
      process.stdout.write(`\n${results.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`);
    });
    // A test that failed may leave a socket open; without this Jest would wait for it for ever instead of ending.
    if (!this.#watching) setTimeout(() => process.exit(results.success ? 0 : 1), LINGER_MS).unref();
  }

  getLastError() {
    return this.#failure;
  }
}
