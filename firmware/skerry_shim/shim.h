int shim_version(void);
