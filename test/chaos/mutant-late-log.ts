// What is to be logged is acknowledged at once and written a little later, in its order: as a disk does that says it
// has synced what it has not. A kill loses what was not written yet, votes among it.

import { setTimeout as sleep } from "node:timers/promises";
import { Wal } from "../../wal/index.ts";

const { save, saveSnapshot, release } = Wal.prototype;
const lateMs = 300;
let written: Promise<unknown> = Promise.resolve();

function later(write: () => Promise<void>): Promise<void> {
  const due = sleep(lateMs);
  // At an orderly stop the log is closed before the last of it is written.
  written = Promise.all([written, due])
    .then(write)
    .catch(() => undefined);
  return Promise.resolve();
}

Wal.prototype.save = function (...args) {
  return later(() => save.apply(this, args));
};

Wal.prototype.saveSnapshot = function (...args) {
  return later(() => saveSnapshot.apply(this, args));
};

Wal.prototype.release = function (...args) {
  return later(() => release.apply(this, args));
};
