// The server gives the package's own file under this name.
export { lexer } from 'marked';
