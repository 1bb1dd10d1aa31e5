// The software bill of materials of a release, CycloneDX 1.6, on standard output: the libraries in the binary (as
// Cargo.lock and cargo know them) and in the page (desktop/package-lock.json). Libraries that only build the page have the
// scope `excluded`. It asks no network.
//
// Invariant: the same tree gives the same document; the time is SOURCE_DATE_EPOCH.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const MAX_BUFFER = 256 * 1024 * 1024;
// What the page's sources import; the rest of package.json builds and tests it.
const IN_THE_PAGE = ['svelte', 'libphonenumber-js'];

const run = (program, args) => execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: MAX_BUFFER });
const read = (file) => readFileSync(join(ROOT, file), 'utf8');
const expression = (license) => license.replace(/\s*\/\s*/g, ' OR ');

function component({ purl, name, version, license, hash, scope }) {
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version,
    scope,
    ...(hash ? { hashes: [hash] } : {}),
    ...(license ? { licenses: [{ expression: expression(license) }] } : {}),
    purl,
  };
}

/** `[[package]]` of Cargo.lock: the checksum of each library. */
function checksums() {
  const found = new Map();
  for (const block of read('Cargo.lock').split('[[package]]')) {
    const value = (key) => block.match(new RegExp(`^${key} = "(.*)"$`, 'm'))?.[1];
    if (value('checksum')) found.set(`${value('name')}@${value('version')}`, value('checksum'));
  }
  return found;
}

function ofTheBinary() {
  const host = run('rustc', ['-vV']).match(/^host: (.*)$/m)[1];
  const metadata = JSON.parse(
    run('cargo', ['metadata', '--locked', '--format-version', '1', '--filter-platform', host]),
  );
  const packages = new Map(metadata.packages.map((it) => [it.id, it]));
  const nodes = new Map(metadata.resolve.nodes.map((it) => [it.id, it]));
  const root = metadata.resolve.root;
  const isBuilt = (dep) => dep.dep_kinds.some(({ kind }) => kind !== 'dev');
  const dependsOn = new Map();
  const left = [root];
  while (left.length > 0) {
    const id = left.pop();
    if (dependsOn.has(id)) continue;
    const deps = nodes.get(id).deps.filter(isBuilt).map((dep) => dep.pkg);
    dependsOn.set(id, deps);
    left.push(...deps);
  }
  const purl = (id) => `pkg:cargo/${packages.get(id).name}@${packages.get(id).version}`;
  const sums = checksums();
  const components = [...dependsOn.keys()]
    .filter((id) => id !== root)
    .map((id) => {
      const { name, version, license } = packages.get(id);
      const sum = sums.get(`${name}@${version}`);
      const hash = sum && { alg: 'SHA-256', content: sum };
      return component({ purl: purl(id), name, version, license, hash, scope: 'required' });
    });
  const dependencies = [...dependsOn].map(([id, deps]) => ({ ref: purl(id), dependsOn: [...new Set(deps.map(purl))].sort() }));
  return { root: packages.get(root), ref: purl(root), components, dependencies };
}

function ofThePage() {
  const { packages } = JSON.parse(read('desktop/package-lock.json'));
  const bundled = new Set();
  const left = IN_THE_PAGE.map((name) => `node_modules/${name}`);
  while (left.length > 0) {
    const path = left.pop();
    if (bundled.has(path) || !packages[path]) continue;
    bundled.add(path);
    left.push(...Object.keys(packages[path].dependencies ?? {}).map((name) => `node_modules/${name}`));
  }
  const found = Object.entries(packages).filter(([path]) => path.startsWith('node_modules/'));
  const seen = new Map();
  for (const [path, it] of found) {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const purl = `pkg:npm/${name.replace('@', '%40')}@${it.version}`;
    const [, digest] = it.integrity?.match(/^sha512-(.*)$/) ?? [];
    const hash = digest && { alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') };
    const scope = bundled.has(path) ? 'required' : 'excluded';
    if (!seen.has(purl)) seen.set(purl, component({ purl, name, version: it.version, license: it.license, hash, scope }));
  }
  return [...seen.values()];
}

const { root, ref, components, dependencies } = ofTheBinary();
const all = [...components, ...ofThePage()].sort((a, b) => (a.purl < b.purl ? -1 : 1));
dependencies.sort((a, b) => (a.ref < b.ref ? -1 : 1));
const digest = createHash('sha256').update(JSON.stringify(all)).digest('hex');
const uuid = [digest.slice(0, 8), digest.slice(8, 12), `5${digest.slice(13, 16)}`, `8${digest.slice(17, 20)}`, digest.slice(20, 32)];
const time = new Date(Number(process.env.SOURCE_DATE_EPOCH ?? 0) * 1000);
const document = {
  bomFormat: 'CycloneDX',
  specVersion: '1.6',
  serialNumber: `urn:uuid:${uuid.join('-')}`,
  version: 1,
  metadata: {
    timestamp: time.toISOString().replace('.000', ''),
    component: {
      type: 'application',
      'bom-ref': ref,
      name: root.name,
      version: root.version,
      licenses: [{ expression: root.license }],
      purl: ref,
    },
  },
  components: all,
  dependencies,
};
process.stdout.write(`${JSON.stringify(document, null, 1)}\n`);
