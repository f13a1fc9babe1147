// Package identity verifies access tokens by the profile of their issuer. A token
// is read, held against one issuer of a tenant document, and only then believed.
//
// Every token is a JWT in compact serialization with unique member names, signed
// with an asymmetric algorithm that the issuer announces and with a key that it
// publishes, names the issuer and an audience of the tenant character by character,
// and is within its times, give or take Skew. Keys that a token brings along are
// never used, a token that is bound to a key (claim cnf) is refused as a bearer
// token, and nothing that a token points to is ever fetched. The profiles differ in
// the rest:
//
//	           rfc9068                entra                      adfs
//	typ        at+jwt                 JWT                        JWT, too
//	required   iss exp aud sub        iss exp aud iat ver        iss exp aud iat
//	           client_id iat jti      tid oid scp, azp or appid  sub, appid or client_id
//	audience   exact                  also with a slash at the   exact
//	                                  end, id for api://id
//	client     client_id              azp (2.0), appid (1.0)     appid, else client_id
//	token id   jti                    uti                        jti, if there is one
//	scopes     scope                  scp                        scp, too
//	account    iss and sub            tid and oid                iss and sub
//
// rfc9068 is RFC 9068 to the letter.
//
// entra reads access tokens of Microsoft Entra ID, versions 1.0 and 2.0. The user is
// the object id in the directory, because sub is pairwise per application; tid must be
// the tenant's directory. An application's own token, without scp, is refused: it
// stands for no user. Groups are not read, so the pointer that replaces a long list of
// them, and leads out of a sovereign cloud, is never followed.
//
// adfs reads access tokens of AD FS, whose iss is the federation service's own name
// ("http://host/adfs/services/trust", announced as access_token_issuer) rather than
// the issuer's URL. The user is sub; where AD FS sends none, an issuance transform rule
// has to add it, from objectGUID for example. The address is in upn unless the tenant
// names another claim; upn identifies nobody, because it is given to others later.
package identity
