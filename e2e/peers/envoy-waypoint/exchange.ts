/**
 * Sends bytes as they are and tells what comes back; run inside a pod by the tests that compare waypoints.
 *   exchange HOST PORT [BASE64...]  ->  one answer for each, in their order: {text, closed} (latin-1)
 */
import { connect } from "node:net";

const AT_ONCE = 8;
/** An answer is over when nothing follows for so long, or the connection ends. */
const QUIET_MS = 700;
const LIMIT_MS = 5_000;

interface Answer {
  readonly text: string;
  /** By the other side. */
  readonly closed: boolean;
}

function exchange(host: string, port: number, bytes: Buffer): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    let text = "";
    let quiet: NodeJS.Timeout | undefined;
    const finish = (closed: boolean): void => {
      clearTimeout(quiet);
      clearTimeout(limit);
      socket.destroy();
      resolve({ text, closed });
    };
    const limit = setTimeout(() => finish(false), LIMIT_MS);
    socket.on("connect", () => socket.write(bytes));
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      clearTimeout(quiet);
      quiet = setTimeout(() => finish(false), QUIET_MS);
    });
    socket.on("error", () => finish(true));
    socket.on("end", () => finish(true));
  });
}

const [host = "", port = "", ...requests] = process.argv.slice(2);
const answers: Answer[] = [];
let next = 0;
async function work(): Promise<void> {
  for (let at = next++; at < requests.length; at = next++) {
    answers[at] = await exchange(host, Number(port), Buffer.from(requests[at] ?? "", "base64"));
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, work));
process.stdout.write(`${JSON.stringify(answers)}\n`);
