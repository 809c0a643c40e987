import { chmodSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { rolldown } from "rolldown";

const root = resolve(import.meta.dirname, "../..");

interface Program {
  readonly name: "operator" | "sink";
  /** What is typed; a file of its own, since an image has no shell and no npm. */
  readonly command: string;
  /** Read at run time, beside the code. */
  readonly files: readonly string[];
}

/** Left as packages: one is loaded file by file (its internals are used), one reads a file beside its code. */
const packages = ["kafkajs", "@platformatic/wasm-utils", "@platformatic/dynamic-buffer"];

export const programs: readonly Program[] = [
  { name: "operator", command: "audit-pipeline", files: ["crds/v1alpha1", "config/rbac", "package.json"] },
  { name: "sink", command: "audit-sink", files: ["package.json"] },
];

/** Writes /app and the command of a program into `folder`: a few files of JavaScript in place of thousands. */
export async function writeProgram(program: Program, folder: string): Promise<void> {
  const { name, command } = program;
  await writeApp(program, join(folder, "app"));
  const commands = join(folder, "usr/local/bin");
  mkdirSync(commands, { recursive: true });
  writeFileSync(join(commands, command), `#!/usr/local/bin/node\nimport "/app/${name}/bin/main.js";\n`);
  chmodSync(join(commands, command), 0o755);
}

/** The code of a program and what it reads: `<app>/<name>/bin/main.js` is what runs. */
export async function writeApp({ name, files }: Omit<Program, "command">, app: string): Promise<void> {
  const build = await rolldown({
    ...{ input: join(root, name, "main.ts"), cwd: root, platform: "node", logLevel: "warn" },
    external: [...packages, "pg-native"],
  });
  // As deep as the sources are, so that what they read by a relative path is found.
  await build.write({ dir: join(app, name, "bin"), format: "esm", entryFileNames: "main.js" });
  await build.close();
  for (const file of [...files, ...packages.map((name) => `node_modules/${name}`)]) {
    const source = (path: string) => !path.endsWith(".ts") || path.endsWith(".d.ts");
    cpSync(join(root, file), join(app, file), { recursive: true, dereference: true, filter: source });
  }
}
