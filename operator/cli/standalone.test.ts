import { createServer } from "node:http";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { OperatorConfig } from "../config.ts";
import { asFailure } from "./standalone.ts";

const config = { admin: { host: "127.0.0.1", port: 9 } } as OperatorConfig;

/** The error of a server that cannot listen there. */
const listenError = (where: { port: number; host: string } | { path: string }) =>
  new Promise<unknown>((resolve) => createServer().once("error", resolve).listen(where));

test("a server that cannot listen is named by what has to be changed", async () => {
  const taken = createServer();
  await new Promise<void>((listening) => taken.listen(0, "127.0.0.1", listening));
  const { port } = taken.address() as { port: number };
  const admin = asFailure(await listenError({ port, host: "127.0.0.1" }), config);
  expect(String(admin)).toMatch(/admin: cannot listen on .* \(EADDRINUSE\)/);
  await new Promise((closed) => taken.close(closed));

  const path = join("/proc", "control.sock");
  const control = asFailure(await listenError({ path }), config);
  expect(String(control)).toContain(`--state: cannot listen on the control socket ${path}`);
});
