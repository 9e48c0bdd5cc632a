// A write is answered when it is proposed: if its leader dies before a majority has it, it is acknowledged and lost.

import { Server } from "../../server/server.ts";

const propose = Server.prototype.propose;

Server.prototype.propose = function (command) {
  void propose.call(this, command);
  return Promise.resolve({ kind: "applied", index: 0, result: undefined });
};
