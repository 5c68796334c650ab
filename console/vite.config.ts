import { defineConfig } from 'vite';

// One script, one style sheet, one icon; nothing inline, which the page's Content-Security-Policy would refuse.
export default defineConfig({
  base: '/',
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: false,
  },
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
  // `npm run dev` beside a server: the page from here, the API from there.
  server: {
    proxy: Object.fromEntries(
      ['/api', '/metrics', '/readyz'].map((path) => [path, { target: 'http://127.0.0.1:7070', ws: true }]),
    ),
  },
});
