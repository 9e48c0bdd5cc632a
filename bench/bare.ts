// The bound that no HTTP server on Node passes: reads the body, answers 204. `bare.ts PORT`.

import http from "node:http";

http
  .createServer((req, res) => {
    req.resume();
    req.on("end", () => res.writeHead(204).end());
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
