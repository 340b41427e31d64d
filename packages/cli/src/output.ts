/** Where commands print. Results go to stdout, so that pipes see only them; everything else goes to stderr. */
export const print = (text: string): void => {
  process.stdout.write(text);
};

export const printJson = (value: unknown): void => print(`${JSON.stringify(value, null, 2)}\n`);

export const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};
