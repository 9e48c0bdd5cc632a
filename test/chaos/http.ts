// One HTTP request on a client's own connection, and how it ended.
//
// Not fetch: what it does about a connection that breaks is its own business, and here everything depends on that.
// node:http sends a request once. A connection that is refused has carried nothing; after one that breaks, or answers
// too late, the outcome is unknown.

import http from "node:http";

export type Answer =
  | { readonly kind: "answer"; readonly status: number; readonly body: Buffer }
  /** The request never left: no process took the connection. */
  | { readonly kind: "refused" }
  | { readonly kind: "broken"; readonly why: string };

export interface Request {
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: string;
  readonly json?: boolean;
}

export class HttpClient {
  readonly #agent = new http.Agent({ keepAlive: true });

  /** Never rejects. */
  ask(port: number, { method, path, body, json = false }: Request, deadlineMs: number): Promise<Answer> {
    if (port === 0) return Promise.resolve({ kind: "refused" });
    return new Promise((resolve) => {
      const headers = json ? { "content-type": "application/json" } : {};
      const request = http.request({ host: "127.0.0.1", port, method, path, headers, agent: this.#agent });
      const broken = (why: string): void => {
        clearTimeout(timer);
        request.destroy();
        resolve({ kind: "broken", why });
      };
      const timer = setTimeout(() => broken(`no answer within ${deadlineMs} ms`), deadlineMs);
      request.once("error", (error: NodeJS.ErrnoException) => {
        if (error.code === "ECONNREFUSED") {
          clearTimeout(timer);
          resolve({ kind: "refused" });
        } else {
          broken(error.code ?? error.message);
        }
      });
      request.once("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", (error) => broken(error.message));
        response.once("end", () => {
          clearTimeout(timer);
          resolve({ kind: "answer", status: response.statusCode ?? 0, body: Buffer.concat(chunks) });
        });
      });
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
