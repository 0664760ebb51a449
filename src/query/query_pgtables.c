/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: the columns of pg_catalog and information_schema, as PostgreSQL 15
 * has them, so that what clients ask binds. One line a table.
 *
 * "name:type …": o = oid, i = int4, s = int2, l = int8, b = bool, t = text, d =
 * float8, z = timestamptz, T = text[] (always NULL), S = int2[] (int2vector). A
 * table that is filled by nobody is there and empty: Leat has no such things.
 * tableoid, a system column in PostgreSQL, stands last where clients name it.
 */
#include "query_pg.h"

const struct query_pg_table leat_query_pg_tables[] = {
        {2600, "pg_catalog.pg_aggregate", "aggfnoid:o aggkind:t aggnumdirectargs:s aggtransfn:o aggfinalfn:o", NULL},
        {2601, "pg_catalog.pg_am", "oid:o amname:t amhandler:t amtype:t", leat_query_fill_am},
        {2602, "pg_catalog.pg_amop",
         "oid:o amopfamily:o amoplefttype:o amoprighttype:o amopstrategy:s amoppurpose:t amopopr:o amopmethod:o "
         "amopsortfamily:o",
         NULL},
        {2603, "pg_catalog.pg_amproc", "oid:o amprocfamily:o amproclefttype:o amprocrighttype:o amprocnum:s amproc:o",
         NULL},
        {2604, "pg_catalog.pg_attrdef", "oid:o adrelid:o adnum:s adbin:t tableoid:o", NULL},
        {1249, "pg_catalog.pg_attribute",
         "attrelid:o attname:t atttypid:o attstattarget:i attlen:s attnum:s attndims:i attcacheoff:i atttypmod:i "
         "attbyval:b attalign:t attstorage:t attcompression:t attnotnull:b atthasdef:b atthasmissing:b attidentity:t "
         "attgenerated:t attisdropped:b attislocal:b attinhcount:i attcollation:o attacl:T attoptions:T "
         "attfdwoptions:T attmissingval:T",
         leat_query_fill_attribute},
        {1260, "pg_catalog.pg_authid",
         "oid:o rolname:t rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b "
         "rolbypassrls:b rolconnlimit:i rolpassword:t rolvaliduntil:z tableoid:o",
         leat_query_fill_roles},
        {1261, "pg_catalog.pg_auth_members", "roleid:o member:o grantor:o admin_option:b", NULL},
        {2605, "pg_catalog.pg_cast", "oid:o castsource:o casttarget:o castfunc:o castcontext:t castmethod:t tableoid:o",
         NULL},
        {1259, "pg_catalog.pg_class",
         "oid:o relname:t relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o reltablespace:o "
         "relpages:i reltuples:d relallvisible:i reltoastrelid:o relhasindex:b relisshared:b relpersistence:t "
         "relkind:t relnatts:s relchecks:s relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b "
         "relforcerowsecurity:b relispopulated:b relreplident:t relispartition:b relrewrite:o relfrozenxid:i "
         "relminmxid:i relacl:T reloptions:T relpartbound:t tableoid:o",
         leat_query_fill_class},
        {3456, "pg_catalog.pg_collation",
         "oid:o collname:t collnamespace:o collowner:o collprovider:t collisdeterministic:b collencoding:i "
         "collcollate:t collctype:t colliculocale:t collversion:t tableoid:o",
         leat_query_fill_collation},
        {2606, "pg_catalog.pg_constraint",
         "oid:o conname:t connamespace:o contype:t condeferrable:b condeferred:b convalidated:b conrelid:o contypid:o "
         "conindid:o conparentid:o confrelid:o confupdtype:t confdeltype:t confmatchtype:t conislocal:b coninhcount:i "
         "connoinherit:b conkey:S confkey:S conpfeqop:S conppeqop:S conffeqop:S confdelsetcols:S conexclop:S conbin:t "
         "tableoid:o",
         leat_query_fill_constraint},
        {2607, "pg_catalog.pg_conversion",
         "oid:o conname:t connamespace:o conowner:o conforencoding:i contoencoding:i conproc:o condefault:b "
         "tableoid:o",
         NULL},
        {1262, "pg_catalog.pg_database",
         "oid:o datname:t datdba:o encoding:i datlocprovider:t datistemplate:b datallowconn:b datconnlimit:i "
         "datfrozenxid:i datminmxid:i dattablespace:o datcollate:t datctype:t daticulocale:t datcollversion:t "
         "datacl:T tableoid:o",
         leat_query_fill_database},
        {2964, "pg_catalog.pg_db_role_setting", "setdatabase:o setrole:o setconfig:T", NULL},
        {826, "pg_catalog.pg_default_acl", "oid:o defaclrole:o defaclnamespace:o defaclobjtype:t defaclacl:T", NULL},
        {2608, "pg_catalog.pg_depend", "classid:o objid:o objsubid:i refclassid:o refobjid:o refobjsubid:i deptype:t",
         NULL},
        {2609, "pg_catalog.pg_description", "objoid:o classoid:o objsubid:i description:t", NULL},
        {3501, "pg_catalog.pg_enum", "oid:o enumtypid:o enumsortorder:d enumlabel:t", NULL},
        {3466, "pg_catalog.pg_event_trigger",
         "oid:o evtname:t evtevent:t evtowner:o evtfoid:o evtenabled:t evttags:T tableoid:o", NULL},
        {3079, "pg_catalog.pg_extension",
         "oid:o extname:t extowner:o extnamespace:o extrelocatable:b extversion:t extconfig:T extcondition:T "
         "tableoid:o",
         NULL},
        {2328, "pg_catalog.pg_foreign_data_wrapper",
         "oid:o fdwname:t fdwowner:o fdwhandler:o fdwvalidator:o fdwacl:T fdwoptions:T tableoid:o", NULL},
        {1417, "pg_catalog.pg_foreign_server",
         "oid:o srvname:t srvowner:o srvfdw:o srvtype:t srvversion:t srvacl:T srvoptions:T tableoid:o", NULL},
        {3118, "pg_catalog.pg_foreign_table", "ftrelid:o ftserver:o ftoptions:T", NULL},
        {2610, "pg_catalog.pg_index",
         "indexrelid:o indrelid:o indnatts:s indnkeyatts:s indisunique:b indnullsnotdistinct:b indisprimary:b "
         "indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b indisready:b indislive:b "
         "indisreplident:b indkey:S indcollation:S indclass:S indoption:S indexprs:t indpred:t",
         leat_query_fill_index},
        {2611, "pg_catalog.pg_inherits", "inhrelid:o inhparent:o inhseqno:i inhdetachpending:b", NULL},
        {3394, "pg_catalog.pg_init_privs", "objoid:o classoid:o objsubid:i privtype:t initprivs:T", NULL},
        {2612, "pg_catalog.pg_language",
         "oid:o lanname:t lanowner:o lanispl:b lanpltrusted:b lanplcallfoid:o laninline:o lanvalidator:o lanacl:T "
         "tableoid:o",
         NULL},
        {2995, "pg_catalog.pg_largeobject_metadata", "oid:o lomowner:o lomacl:T", NULL},
        {2615, "pg_catalog.pg_namespace", "oid:o nspname:t nspowner:o nspacl:T tableoid:o", leat_query_fill_namespace},
        {2616, "pg_catalog.pg_opclass",
         "oid:o opcmethod:o opcname:t opcnamespace:o opcowner:o opcfamily:o opcintype:o opcdefault:b opckeytype:o "
         "tableoid:o",
         NULL},
        {2617, "pg_catalog.pg_operator",
         "oid:o oprname:t oprnamespace:o oprowner:o oprkind:t oprcanmerge:b oprcanhash:b oprleft:o oprright:o "
         "oprresult:o oprcom:o oprnegate:o oprcode:o oprrest:o oprjoin:o tableoid:o",
         NULL},
        {2753, "pg_catalog.pg_opfamily", "oid:o opfmethod:o opfname:t opfnamespace:o opfowner:o tableoid:o", NULL},
        {6243, "pg_catalog.pg_parameter_acl", "oid:o parname:t paracl:T", NULL},
        {3350, "pg_catalog.pg_partitioned_table",
         "partrelid:o partstrat:t partnatts:s partdefid:o partattrs:S partclass:S partcollation:S partexprs:t", NULL},
        {3256, "pg_catalog.pg_policy",
         "oid:o polname:t polrelid:o polcmd:t polpermissive:b polroles:S polqual:t polwithcheck:t tableoid:o", NULL},
        {1255, "pg_catalog.pg_proc",
         "oid:o proname:t pronamespace:o proowner:o prolang:o procost:d prorows:d provariadic:o prosupport:t "
         "prokind:t prosecdef:b proleakproof:b proisstrict:b proretset:b provolatile:t proparallel:t pronargs:s "
         "pronargdefaults:s prorettype:o proargtypes:S proallargtypes:S proargmodes:T proargnames:T proargdefaults:t "
         "protrftypes:S prosrc:t probin:t prosqlbody:t proconfig:T proacl:T tableoid:o",
         NULL},
        {6104, "pg_catalog.pg_publication",
         "oid:o pubname:t pubowner:o puballtables:b pubinsert:b pubupdate:b pubdelete:b pubtruncate:b pubviaroot:b "
         "tableoid:o",
         NULL},
        {6237, "pg_catalog.pg_publication_namespace", "oid:o pnpubid:o pnnspid:o", NULL},
        {6106, "pg_catalog.pg_publication_rel", "oid:o prpubid:o prrelid:o prqual:t prattrs:S", NULL},
        {3541, "pg_catalog.pg_range",
         "rngtypid:o rngsubtype:o rngmultitypid:o rngcollation:o rngsubopc:o rngcanonical:o rngsubdiff:o", NULL},
        {2618, "pg_catalog.pg_rewrite",
         "oid:o rulename:t ev_class:o ev_type:t ev_enabled:t is_instead:b ev_qual:t ev_action:t tableoid:o", NULL},
        {3596, "pg_catalog.pg_seclabel", "objoid:o classoid:o objsubid:i provider:t label:t", NULL},
        {2224, "pg_catalog.pg_sequence",
         "seqrelid:o seqtypid:o seqstart:l seqincrement:l seqmax:l seqmin:l seqcache:l seqcycle:b", NULL},
        {1214, "pg_catalog.pg_shdepend", "dbid:o classid:o objid:o objsubid:i refclassid:o refobjid:o deptype:t", NULL},
        {2396, "pg_catalog.pg_shdescription", "objoid:o classoid:o description:t", NULL},
        {3592, "pg_catalog.pg_shseclabel", "objoid:o classoid:o provider:t label:t", NULL},
        {3381, "pg_catalog.pg_statistic_ext",
         "oid:o stxrelid:o stxname:t stxnamespace:o stxowner:o stxstattarget:i stxkeys:S stxkind:T stxexprs:t "
         "tableoid:o",
         NULL},
        {6100, "pg_catalog.pg_subscription",
         "oid:o subdbid:o subskiplsn:t subname:t subowner:o subenabled:b subbinary:b substream:b subtwophasestate:t "
         "subdisableonerr:b subconninfo:t subslotname:t subsynccommit:t subpublications:T tableoid:o",
         NULL},
        {1213, "pg_catalog.pg_tablespace", "oid:o spcname:t spcowner:o spcacl:T spcoptions:T tableoid:o",
         leat_query_fill_tablespace},
        {3576, "pg_catalog.pg_transform", "oid:o trftype:o trflang:o trffromsql:o trftosql:o", NULL},
        {2620, "pg_catalog.pg_trigger",
         "oid:o tgrelid:o tgparentid:o tgname:t tgfoid:o tgtype:s tgenabled:t tgisinternal:b tgconstrrelid:o "
         "tgconstrindid:o tgconstraint:o tgdeferrable:b tginitdeferred:b tgnargs:s tgattr:S tgargs:t tgqual:t "
         "tgoldtable:t tgnewtable:t tableoid:o",
         NULL},
        {3602, "pg_catalog.pg_ts_config", "oid:o cfgname:t cfgnamespace:o cfgowner:o cfgparser:o tableoid:o", NULL},
        {3603, "pg_catalog.pg_ts_config_map", "mapcfg:o maptokentype:i mapseqno:i mapdict:o", NULL},
        {3600, "pg_catalog.pg_ts_dict",
         "oid:o dictname:t dictnamespace:o dictowner:o dicttemplate:o dictinitoption:t tableoid:o", NULL},
        {3601, "pg_catalog.pg_ts_parser",
         "oid:o prsname:t prsnamespace:o prsstart:o prstoken:o prsend:o prsheadline:o prslextype:o tableoid:o", NULL},
        {3764, "pg_catalog.pg_ts_template", "oid:o tmplname:t tmplnamespace:o tmplinit:o tmpllexize:o tableoid:o",
         NULL},
        {1247, "pg_catalog.pg_type",
         "oid:o typname:t typnamespace:o typowner:o typlen:s typbyval:b typtype:t typcategory:t typispreferred:b "
         "typisdefined:b typdelim:t typrelid:o typsubscript:t typelem:o typarray:o typinput:t typoutput:t "
         "typreceive:t typsend:t typmodin:t typmodout:t typanalyze:t typalign:t typstorage:t typnotnull:b "
         "typbasetype:o typtypmod:i typndims:i typcollation:o typdefaultbin:t typdefault:t typacl:T tableoid:o",
         leat_query_fill_type},
        {1418, "pg_catalog.pg_user_mapping", "oid:o umuser:o umserver:o umoptions:T", NULL},
        /* Views of PostgreSQL's: oids of our own. */
        {12001, "pg_catalog.pg_roles",
         "rolname:t rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b "
         "rolconnlimit:i rolpassword:t rolvaliduntil:z rolbypassrls:b rolconfig:T oid:o",
         leat_query_fill_roles},
        {12002, "pg_catalog.pg_user",
         "usename:t usesysid:o usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:z useconfig:T",
         leat_query_fill_user},
        {12003, "pg_catalog.pg_group", "groname:t grosysid:o grolist:S", NULL},
        {12004, "pg_catalog.pg_settings",
         "name:t setting:t unit:t category:t short_desc:t extra_desc:t context:t vartype:t source:t min_val:t "
         "max_val:t enumvals:T boot_val:t reset_val:t sourcefile:t sourceline:i pending_restart:b",
         leat_query_fill_settings},
        {12005, "pg_catalog.pg_views", "schemaname:t viewname:t viewowner:t definition:t", leat_query_fill_views},
        {12006, "pg_catalog.pg_matviews",
         "schemaname:t matviewname:t matviewowner:t tablespace:t hasindexes:b ispopulated:b definition:t",
         leat_query_fill_matviews},
        {12007, "pg_catalog.pg_tables",
         "schemaname:t tablename:t tableowner:t tablespace:t hasindexes:b hasrules:b hastriggers:b rowsecurity:b",
         leat_query_fill_tables},
        {12008, "pg_catalog.pg_indexes", "schemaname:t tablename:t indexname:t tablespace:t indexdef:t",
         leat_query_fill_indexes},
        {12009, "pg_catalog.pg_sequences",
         "schemaname:t sequencename:t sequenceowner:t data_type:t start_value:l min_value:l max_value:l "
         "increment_by:l cycle:b cache_size:l last_value:l",
         NULL},
        {12010, "pg_catalog.pg_user_mappings", "umid:o srvid:o srvname:t umuser:o usename:t umoptions:T", NULL},
        {12011, "pg_catalog.pg_locks",
         "locktype:t database:o relation:o page:i tuple:s virtualxid:t transactionid:i classid:o objid:o objsubid:s "
         "virtualtransaction:t pid:i mode:t granted:b fastpath:b waitstart:z",
         NULL},
        {12012, "pg_catalog.pg_prepared_xacts", "transaction:i gid:t prepared:z owner:t database:t", NULL},
        {12013, "pg_catalog.pg_prepared_statements",
         "name:t statement:t prepare_time:z parameter_types:T from_sql:b generic_plans:l custom_plans:l", NULL},
        {12014, "pg_catalog.pg_cursors", "name:t statement:t is_holdable:b is_binary:b is_scrollable:b creation_time:z",
         NULL},
        {12015, "pg_catalog.pg_rules", "schemaname:t tablename:t rulename:t definition:t", NULL},
        {12016, "pg_catalog.pg_policies",
         "schemaname:t tablename:t policyname:t permissive:t roles:T cmd:t qual:t with_check:t", NULL},
        {12017, "pg_catalog.pg_timezone_names", "name:t abbrev:t utc_offset:t is_dst:b", leat_query_fill_zones},
        {12018, "pg_catalog.pg_available_extensions", "name:t default_version:t installed_version:t comment:t", NULL},
        {12019, "pg_catalog.pg_stat_activity",
         "datid:o datname:t pid:i leader_pid:i usesysid:o usename:t application_name:t client_addr:t "
         "client_hostname:t client_port:i backend_start:z xact_start:z query_start:z state_change:z "
         "wait_event_type:t wait_event:t state:t backend_xid:i backend_xmin:i query_id:l query:t backend_type:t",
         NULL},
        {12020, "pg_catalog.pg_stat_user_tables",
         "relid:o schemaname:t relname:t seq_scan:l seq_tup_read:l idx_scan:l idx_tup_fetch:l n_tup_ins:l "
         "n_tup_upd:l n_tup_del:l n_live_tup:l n_dead_tup:l last_vacuum:z last_autovacuum:z last_analyze:z "
         "last_autoanalyze:z",
         NULL},
        {12021, "pg_catalog.pg_statio_user_tables",
         "relid:o schemaname:t relname:t heap_blks_read:l heap_blks_hit:l idx_blks_read:l idx_blks_hit:l", NULL},
        /* What pg_get_indexdef() and its kin read: text by oid and number. */
        {12022, "pg_catalog.leat_definitions", "oid:o number:i definition:t", leat_query_fill_definitions},
        {12101, "information_schema.schemata",
         "catalog_name:t schema_name:t schema_owner:t default_character_set_catalog:t default_character_set_schema:t "
         "default_character_set_name:t sql_path:t",
         leat_query_fill_is_schemata},
        {12102, "information_schema.tables",
         "table_catalog:t table_schema:t table_name:t table_type:t self_referencing_column_name:t "
         "reference_generation:t user_defined_type_catalog:t user_defined_type_schema:t user_defined_type_name:t "
         "is_insertable_into:t is_typed:t commit_action:t",
         leat_query_fill_is_tables},
        {12103, "information_schema.views",
         "table_catalog:t table_schema:t table_name:t view_definition:t check_option:t is_updatable:t "
         "is_insertable_into:t is_trigger_updatable:t is_trigger_deletable:t is_trigger_insertable_into:t",
         leat_query_fill_is_views},
        {12104, "information_schema.columns",
         "table_catalog:t table_schema:t table_name:t column_name:t ordinal_position:i column_default:t is_nullable:t "
         "data_type:t character_maximum_length:i character_octet_length:i numeric_precision:i "
         "numeric_precision_radix:i numeric_scale:i datetime_precision:i interval_type:t interval_precision:i "
         "character_set_name:t collation_name:t domain_name:t udt_catalog:t udt_schema:t udt_name:t "
         "dtd_identifier:t is_self_referencing:t is_identity:t identity_generation:t is_generated:t "
         "generation_expression:t is_updatable:t",
         leat_query_fill_is_columns},
        {12105, "information_schema.table_constraints",
         "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t table_name:t "
         "constraint_type:t is_deferrable:t initially_deferred:t enforced:t nulls_distinct:t",
         leat_query_fill_is_constraints},
        {12106, "information_schema.key_column_usage",
         "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t table_name:t "
         "column_name:t ordinal_position:i position_in_unique_constraint:i",
         leat_query_fill_is_keys},
        {12107, "information_schema.constraint_column_usage",
         "table_catalog:t table_schema:t table_name:t column_name:t constraint_catalog:t constraint_schema:t "
         "constraint_name:t",
         leat_query_fill_is_keys},
        {12108, "information_schema.referential_constraints",
         "constraint_catalog:t constraint_schema:t constraint_name:t unique_constraint_catalog:t "
         "unique_constraint_schema:t unique_constraint_name:t match_option:t update_rule:t delete_rule:t",
         NULL},
        {12109, "information_schema.routines",
         "specific_catalog:t specific_schema:t specific_name:t routine_catalog:t routine_schema:t routine_name:t "
         "routine_type:t data_type:t routine_definition:t",
         NULL},
        {12110, "information_schema.sequences",
         "sequence_catalog:t sequence_schema:t sequence_name:t data_type:t start_value:t minimum_value:t "
         "maximum_value:t increment:t cycle_option:t",
         NULL},
        {12111, "information_schema.triggers",
         "trigger_catalog:t trigger_schema:t trigger_name:t event_manipulation:t event_object_table:t "
         "action_statement:t action_timing:t",
         NULL},
        {12112, "information_schema.parameters",
         "specific_catalog:t specific_schema:t specific_name:t ordinal_position:i parameter_mode:t parameter_name:t "
         "data_type:t",
         NULL},
        {12113, "information_schema.table_privileges",
         "grantor:t grantee:t table_catalog:t table_schema:t table_name:t privilege_type:t is_grantable:t "
         "with_hierarchy:t",
         NULL},
};

const uint32_t leat_query_pg_table_count = LEAT_ARRAY_LEN(leat_query_pg_tables);
