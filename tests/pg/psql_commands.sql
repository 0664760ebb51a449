\d
\dt
\dv
\dm
\di
\d scans
\d+ scans
\d sites
\d+ sites
\d pairs
\d heavy
\d+ heavy
\d per_site
\d+ per_site
\d pg_class
\d nosuch
\d s*
\d public.s*
\dt+
\dt *.*
\dti+
\dS
\l
\l+
\dn
\dn+
\du
\du+
\dg
\df
\df+
\dfn count
\da
\dT
\dT+
\do
\dC
\dD
\db
\dd
\dp
\ds
\dx
\des
\deu
\dew
\det
\dE
\dF
\dFd
\dFp
\dFt
\dL
\dO
\dP
\drds
\dRp
\dRs
\dX
\dy
\dc
\dAc
\dAf
\dconfig
\ddp
\sv heavy
\encoding
\conninfo
