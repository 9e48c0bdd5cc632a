// Who may import whom: the rooms of doc/architecture.md. `npm run check:imports` fails on what is not allowed here.

const rooms = "^(main\\.ts|cli|command-line|member|raft|disk|wal|snap|transport|server|kvstore|sim|web|bench|test)";
const room = (name) => `^${name}/`;
const anyRoomBut = (...names) => ({ path: rooms, pathNot: names.map((n) => `^${n}`) });
const tests = "(\\.test|/testing)\\.ts$";

const rule = (name, from, to) => ({ name, severity: "error", from, to });

module.exports = {
  forbidden: [
    rule("no-circles", {}, { circular: true }),
    rule("resolvable", {}, { couldNotResolve: true }),
    rule("main-hands-over-to-cli", { path: "^main\\.ts$" }, anyRoomBut("main\\.ts", "cli/")),
    rule("raft-imports-raft-only", { path: room("raft"), pathNot: tests }, anyRoomBut("raft/")),
    rule(
      "raft-is-pure",
      { path: room("raft"), pathNot: tests },
      { dependencyTypes: ["core", "npm", "npm-dev"], pathNot: "node_modules/protobufjs/" },
    ),
    rule(
      "only-raftpb-knows-protobuf",
      { path: room("raft"), pathNot: ["^raft/raftpb/", tests] },
      { path: "node_modules/protobufjs/" },
    ),
    rule("disk-knows-no-other-room", { path: room("disk"), pathNot: tests }, anyRoomBut("disk/")),
    rule("wal-knows-disk-and-raftpb", { path: room("wal"), pathNot: tests }, anyRoomBut("wal/", "raft/", "disk/")),
    rule("snap-knows-disk-and-raftpb", { path: room("snap"), pathNot: tests }, anyRoomBut("snap/", "raft/", "disk/")),
    rule("transport-knows-raftpb", { path: room("transport"), pathNot: tests }, anyRoomBut("transport/", "raft/")),
    rule(
      "server-knows-raft-and-interfaces",
      { path: room("server"), pathNot: tests },
      anyRoomBut("server/", "raft/", "transport/contract\\.ts$"),
    ),
    rule("the-transport-s-contract-is-types", { path: "^transport/contract\\.ts$" }, anyRoomBut("raft/raftpb/")),
    rule(
      "kvstore-knows-the-server-s-interfaces",
      { path: room("kvstore"), pathNot: tests },
      { path: rooms, pathNot: ["^kvstore/", "^server/(interfaces|member)\\.ts$"] },
    ),
    rule(
      "the-map-imports-nothing",
      { path: "^kvstore/(map|map-snapshot|stored|command)\\.ts$" },
      { path: ".", pathNot: "^kvstore/(map-snapshot|stored|command)\\.ts$" },
    ),
    rule(
      "nobody-imports-tests-and-tools",
      { path: rooms, pathNot: ["^(sim|test|bench|web)/", tests] },
      { path: "^(sim|test|bench|web)/" },
    ),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node"] },
  },
};
