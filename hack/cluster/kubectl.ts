import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** Answers what was printed. @throws with what kubectl said */
export type Kubectl = (args: readonly string[], input?: string) => Promise<string>;

const runFile = promisify(execFile);

export const kubectlOf =
  (kubeconfig: string): Kubectl =>
  async (args, input = "") => {
    const running = runFile("kubectl", ["--kubeconfig", kubeconfig, ...args], { maxBuffer: 64 * 1024 * 1024 });
    running.child.stdin?.end(input);
    return (await running).stdout;
  };
