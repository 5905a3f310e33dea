// Lets in who knows a token.

let token;

export const lifecycle = {
  // Runs once, before the first app. What it throws goes to the operator.
  configure(json) {
    ({ token } = JSON.parse(json));
    if (typeof token !== 'string') throw 'there is no `token`';
  },
};

export const authenticator = {
  // Runs at each SETUP. A refusal goes to the app, so it tells a guesser nothing.
  authenticate(applicant) {
    const bearer = applicant.credentials.find((credential) => credential.tag === 'bearer');
    if (bearer === undefined) return { tag: 'abstain' };
    if (bearer.val !== token) return { tag: 'refuse', val: { code: 0x202, text: 'who are you?' } };
    const principal = { name: applicant.app, attributes: [['role', 'caller']], rights: undefined, expires: 0n };
    return { tag: 'admit', val: principal };
  },
};
