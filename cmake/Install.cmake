# cmake --install puts the command, its manual page, completion and unit in place; cpack makes a Debian package.
include(GNUInstallDirs)

install(TARGETS perdure_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES docs/man/perdure.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES completion/perdure.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME perdure)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
# The prefix is known for sure only when it is installed.
install(CODE "
  set(PERDURE_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  configure_file(\"${PROJECT_SOURCE_DIR}/packaging/perdure@.service.in\" \"${CMAKE_BINARY_DIR}/perdure@.service\" @ONLY)")
install(FILES ${CMAKE_BINARY_DIR}/perdure@.service DESTINATION lib/systemd/system)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME perdure)
set(CPACK_PACKAGE_VENDOR "The Perdure authors")
set(CPACK_PACKAGE_CONTACT "The Perdure authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Saves the whole state of running, unmodified programs into a crash-consistent store,\nbrings them back after a crash or a power cut, and rewinds them to older states.")
include(CPack)
