/** Things that wait for company until the end of the turn, all with one tick. */

export interface TurnTask {
  onEndOfTurn(): void;
}

const waiting: TurnTask[] = [];

/** Runs `task.onEndOfTurn` after the current callback. The caller sees to it that a task waits once. */
export function atEndOfTurn(task: TurnTask): void {
  if (waiting.push(task) === 1) process.nextTick(runWaiting);
}

function runWaiting(): void {
  const due = waiting.splice(0);
  for (const task of due) task.onEndOfTurn();
}
